//! Cuts a text into words, as it passes, and gives each its hash.
//!
//! Nearly all of a text is ASCII, so that is looked at eight bytes at a time, and a word within it is hashed from where it
//! lies. What a piece of a stream cuts off is kept until the rest of the word has come, so words and their hashes don't
//! depend on how a text is cut. Words are compared by 64-bit hashes of their letters in ASCII lower case: a collision
//! would cost an answer a little of its score, no more.

use core::ops::ControlFlow;

use crate::lanes::{self, BLOCK, LANES};

/// A word's length, in characters, after which it is taken for several: so a loop without spaces is seen as one.
const WORD_CHARACTERS_MAX: usize = 32;

/// The longest word, in bytes.
const WORD_BYTES_MAX: usize = 4 * WORD_CHARACTERS_MAX;

/// Where a hash begins; any odd number with bits all over.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The word that isn't over yet.
#[derive(Clone, Debug)]
pub(super) struct Words {
    bytes: [u8; WORD_BYTES_MAX],
    len: usize,
    characters: usize,
}

impl Words {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; WORD_BYTES_MAX], len: 0, characters: 0 }
    }

    /// Takes the next stretch of ASCII, and hands each word that has ended to `take`, until that breaks.
    pub(super) fn push_ascii(&mut self, text: &[u8], mut take: impl FnMut(u64) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut rest = text;
        while self.characters > 0
            && let Some((first, after)) = rest.split_first()
        {
            self.push(char::from(*first), &mut take)?;
            rest = after;
        }
        while !rest.is_empty() {
            let block = rest.len().min(BLOCK);
            let mut letters = lanes::letters_of_block(rest);
            let next = loop {
                if letters == 0 {
                    break block;
                }
                let at = letters.trailing_zeros() as usize;
                let len = ((letters >> at).trailing_ones() as usize).min(WORD_CHARACTERS_MAX);
                let (end, word) = (at + len, rest.get(at..).unwrap_or_default());
                if end == block && len < WORD_CHARACTERS_MAX {
                    if block == rest.len() {
                        // It may go on.
                        self.keep(word);
                        return ControlFlow::Continue(());
                    }
                    break at;
                }
                take(hash_of(word, len))?;
                letters &= if end < BLOCK { u64::MAX << end } else { 0 };
            };
            rest = rest.get(next..).unwrap_or_default();
        }
        ControlFlow::Continue(())
    }

    /// Takes the next character.
    pub(super) fn push(&mut self, character: char, mut take: impl FnMut(u64) -> ControlFlow<()>) -> ControlFlow<()> {
        if !character.is_alphanumeric() {
            return self.end(take);
        }
        if stands_alone(character) {
            self.end(&mut take)?;
            // No word of letters begins with this seed.
            return take(mix(!SEED, u64::from(character)));
        }
        let mut utf8 = [0; 4];
        let utf8 = character.encode_utf8(&mut utf8).as_bytes();
        self.keep(utf8);
        if self.characters == WORD_CHARACTERS_MAX { self.end(take) } else { ControlFlow::Continue(()) }
    }

    /// The word is over, if there is one.
    pub(super) fn end(&mut self, mut take: impl FnMut(u64) -> ControlFlow<()>) -> ControlFlow<()> {
        let hash = hash_of(&self.bytes, self.len);
        let is_one = self.characters > 0;
        (self.len, self.characters) = (0, 0);
        if is_one { take(hash) } else { ControlFlow::Continue(()) }
    }

    /// Keeps letters of a word: one of any script, or several of ASCII.
    fn keep(&mut self, letters: &[u8]) {
        // There is room for as many characters as a word has.
        if let Some(room) = self.bytes.get_mut(self.len..self.len + letters.len()) {
            room.copy_from_slice(letters);
        }
        self.len += letters.len();
        self.characters += if letters.is_ascii() { letters.len() } else { 1 };
    }
}

/// The hash of the word with which some bytes begin, and which has so many.
#[inline]
fn hash_of(bytes: &[u8], len: usize) -> u64 {
    let mut hash = SEED;
    let (mut rest, mut left) = (bytes, len);
    while left > 0 {
        let letters = left.min(LANES);
        hash = add(hash, lanes::first_of(rest), letters);
        rest = rest.get(letters..).unwrap_or_default();
        left -= letters;
    }
    hash
}

/// Adds the first letters of a chunk, in lower case, to a word's hash.
#[inline]
const fn add(hash: u64, chunk: u64, letters: usize) -> u64 {
    mix(hash, lanes::keep(lanes::lower(chunk), letters))
}

/// Mixes a value into a hash: one that is used by its upper bits and its lower ones.
#[inline]
pub(super) const fn mix(hash: u64, value: u64) -> u64 {
    let product = (hash ^ value).wrapping_mul(0xd6e8_feb8_6659_fd93);
    product ^ (product >> 32)
}

/// Chinese characters and kana: their texts have no spaces, so each counts as a word.
fn stands_alone(character: char) -> bool {
    matches!(u32::from(character), 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}
