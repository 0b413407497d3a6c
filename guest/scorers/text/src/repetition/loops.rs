//! Finds loops: a text that goes round in a period of some words.

use core::ops::ControlFlow;

use super::Limits;

/// The longest period, in words, in which a loop is seen: a long paragraph.
const PERIOD_WORDS_MAX: usize = 64;

/// Lists of words by a part of their hash.
const LISTS: usize = 256;

/// The last words, and for each period how many words in a row equalled the one a period before.
///
/// A word is compared with those alone that share a part of its hash: each list leads from its newest word to the older
/// ones. A period that a word doesn't match costs nothing: that its row has ended shows when it is looked at again.
#[derive(Clone, Debug)]
pub(super) struct Loops {
    /// The next word's number. Words of number 0 are long gone.
    number: u32,
    /// The last words' hashes, each at its number, modulo.
    recent: [u64; PERIOD_WORDS_MAX],
    /// The number of the word that comes after each of them in its list.
    older: [u32; PERIOD_WORDS_MAX],
    /// The number of the newest word of each list.
    newest: [u32; LISTS],
    rows: [Row; PERIOD_WORDS_MAX],
}

/// Words in a row that equalled the one a period before.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The number of the last of them.
    last: u32,
    words: u32,
}

impl Loops {
    #[allow(clippy::cast_possible_truncation)] // 65
    pub(super) const fn new() -> Self {
        Self {
            number: PERIOD_WORDS_MAX as u32 + 1,
            recent: [0; PERIOD_WORDS_MAX],
            older: [0; PERIOD_WORDS_MAX],
            newest: [0; LISTS],
            rows: [Row { last: 0, words: 0 }; PERIOD_WORDS_MAX],
        }
    }

    /// Takes the next word; breaks where it closes a loop.
    pub(super) fn push(&mut self, word: u64, limits: &Limits) -> ControlFlow<()> {
        let number = self.number;
        self.number = number.wrapping_add(1);
        let newest = &mut self.newest[usize::from(word.to_le_bytes()[7])];
        let list = core::mem::replace(newest, number);
        let (mut at, mut nearer) = (list, 0);
        loop {
            let period = number.wrapping_sub(at) as usize;
            // Farther with every step, or it is a list whose words are gone.
            if period <= nearer || period > PERIOD_WORDS_MAX {
                break;
            }
            let slot = at as usize % PERIOD_WORDS_MAX;
            if self.recent[slot] == word {
                let row = &mut self.rows[period - 1];
                let goes_on = row.last == number.wrapping_sub(1);
                *row = Row { last: number, words: if goes_on { row.words.saturating_add(1) } else { 1 } };
                let in_loop = row.words as usize + period;
                if in_loop >= limits.loop_words && in_loop >= limits.loop_repeats * period {
                    return ControlFlow::Break(());
                }
            }
            nearer = period;
            at = self.older[slot];
        }
        let slot = number as usize % PERIOD_WORDS_MAX;
        self.recent[slot] = word;
        self.older[slot] = list;
        ControlFlow::Continue(())
    }
}
