//! Finds windows of words with few distinct n-grams.

use alloc::vec::Vec;

use super::Limits;
use super::words::mix;

/// Bits of the set of a window's words.
const SET_BITS: usize = 1024;

/// How many words are made room for at first.
const ROOM_WORDS: usize = 256;

/// Where an n-gram's hash begins.
const SEED: u64 = 0x2545_f491_4f6c_dd1d;

/// The window that is being filled, and the worst so far.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// The hashes of this window's words.
    words: Vec<u64>,
    /// A bit for each of its words; several may share one.
    set: [u64; SET_BITS / 64],
    /// The share of distinct n-grams in the worst window so far, of those that aren't fine.
    distinct_worst: f64,
}

impl Windows {
    pub(super) const fn new() -> Self {
        Self { words: Vec::new(), set: [0; SET_BITS / 64], distinct_worst: 1.0 }
    }

    /// Takes the next word.
    pub(super) fn push(&mut self, word: u64, limits: &Limits) {
        if self.words.capacity() == 0 {
            self.words.reserve_exact(limits.window_words.min(ROOM_WORDS));
        }
        self.words.push(word);
        let bit = word as usize % SET_BITS;
        self.set[bit / 64] |= 1 << (bit % 64);
        if self.words.len() == limits.window_words {
            self.end(limits);
        }
    }

    /// The text has ended: how bad its worst window is, from 0 (fine) to 1.
    pub(super) fn finish(&mut self, limits: &Limits) -> f64 {
        self.end(limits);
        let Limits { distinct_good, distinct_bad, .. } = *limits;
        ((distinct_good - self.distinct_worst) / (distinct_good - distinct_bad)).clamp(0.0, 1.0)
    }

    fn end(&mut self, limits: &Limits) {
        let words = self.words.len();
        if words >= limits.words_min.max(limits.n) {
            let all = words - limits.n + 1;
            // Two n-grams that end in different words are different, and only the first few words end none. So in prose the
            // words alone mostly show that a window is fine, and then how fine doesn't matter.
            let set: u32 = self.set.iter().map(|bits| bits.count_ones()).sum();
            let at_least = (set as usize).saturating_sub(limits.n - 1);
            if share(at_least, all) < limits.distinct_good {
                self.distinct_worst = self.distinct_worst.min(share(distinct(&self.words, limits.n), all));
            }
        }
        self.words.clear();
        self.set = [0; SET_BITS / 64];
    }
}

/// How many n-grams are distinct.
fn distinct(words: &[u64], n: usize) -> usize {
    let mut grams: Vec<u64> =
        words.windows(n).map(|gram| gram.iter().fold(SEED, |hash, word| mix(hash, *word))).collect();
    grams.sort_unstable();
    grams.dedup();
    grams.len()
}

#[allow(clippy::cast_precision_loss)] // at most 5000
fn share(some: usize, all: usize) -> f64 {
    some as f64 / all as f64
}
