//! Measures how much a text repeats itself, as it passes and in bounded memory.
//!
//! Three signs, of which the worst counts: few distinct n-grams in a window of words (graded), a loop (the text has
//! gone round often enough in a period of some words), one character over and over. Words are compared by 64-bit
//! hashes of their letters in ASCII lower case: a collision would cost an answer a little of its score, no more.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use softfuse_scorer_common::config::Section;

/// The longest period, in words, in which a loop is seen: a long paragraph. Each costs one comparison a word.
const PERIOD_WORDS_MAX: usize = 64;

/// A word's length, in characters, after which it is taken for several: so a loop without spaces is seen as one.
const WORD_CHARACTERS_MAX: usize = 32;

/// The longest n-gram.
const N_MAX: usize = 8;

/// What counts as repetition.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The n-grams' length, in words.
    pub n: usize,
    /// How many words make a window.
    pub window_words: usize,
    /// A window with fewer words isn't judged by its n-grams.
    pub words_min: usize,
    /// From this share of distinct n-grams on, a window is fine.
    pub distinct_good: f64,
    /// At this share and below, it is worthless; in between it is graded.
    pub distinct_bad: f64,
    /// A loop has at least this many words in all ...
    pub loop_words: usize,
    /// ... and goes round this often.
    pub loop_repeats: usize,
    /// This often the same character in a row is a loop as well.
    pub run_characters: usize,
}

impl Limits {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let limits = Self {
            n: section.count("n", 1..=N_MAX, 3),
            window_words: section.count("window_words", 20..=5000, 200),
            words_min: section.count("words_min", 10..=5000, 30),
            distinct_good: section.number("distinct_good", 0.0..=1.0, 0.5),
            distinct_bad: section.number("distinct_bad", 0.0..=1.0, 0.2),
            loop_words: section.count("loop_words", 4..=100_000, 40),
            loop_repeats: section.count("loop_repeats", 2..=1000, 4),
            run_characters: section.count("run_characters", 10..=1_000_000, 200),
        };
        if limits.distinct_bad >= limits.distinct_good {
            section.problem("distinct_bad", "must be less than distinct_good, which is the better end of the scale");
        }
        if limits.words_min > limits.window_words {
            section.problem("words_min", "must not be more than window_words, or no window is ever judged");
        }
        limits
    }
}

/// A text's repetition so far.
#[derive(Clone, Debug)]
pub struct Repetition {
    limits: Limits,
    looped: bool,
    /// The share of distinct n-grams in the worst window so far.
    distinct_worst: f64,
    word: Option<Word>,
    run: Option<(char, usize)>,
    /// The last words, the newest at `words % PERIOD_WORDS_MAX`.
    recent: [u64; PERIOD_WORDS_MAX],
    words: usize,
    /// For each period, how many words in a row equalled the one a period before.
    matches: [usize; PERIOD_WORDS_MAX],
    /// The hashes of the n-grams that end in this window.
    grams: Vec<u64>,
    window_words: usize,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    hash: u64,
    characters: usize,
}

impl Repetition {
    /// Nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            looped: false,
            distinct_worst: 1.0,
            word: None,
            run: None,
            recent: [0; PERIOD_WORDS_MAX],
            words: 0,
            matches: [0; PERIOD_WORDS_MAX],
            grams: Vec::new(),
            window_words: 0,
        }
    }

    /// Whether the text is in a loop, after which nothing that follows changes its severity.
    #[must_use]
    pub fn is_looped(&self) -> bool {
        self.looped
    }

    /// Takes the next stretch of the text.
    pub fn push(&mut self, text: &str) {
        for character in text.chars() {
            if self.looped || self.push_character(character).is_break() {
                self.looped = true;
                return;
            }
        }
    }

    /// The text has ended: how bad its repetition is, from 0 (none) to 1.
    #[must_use]
    pub fn finish(mut self) -> f64 {
        self.looped = self.looped || self.end_word().is_break();
        if self.looped {
            return 1.0;
        }
        self.end_window();
        let Limits { distinct_good, distinct_bad, .. } = self.limits;
        ((distinct_good - self.distinct_worst) / (distinct_good - distinct_bad)).clamp(0.0, 1.0)
    }

    fn push_character(&mut self, character: char) -> ControlFlow<()> {
        let run = match self.run {
            Some((last, times)) if last == character => times + 1,
            _ => 1,
        };
        self.run = Some((character, run));
        if run >= self.limits.run_characters {
            return ControlFlow::Break(());
        }
        if !character.is_alphanumeric() {
            return self.end_word();
        }
        if stands_alone(character) {
            self.end_word()?;
            self.push_word(hash(SEED, u64::from(character)))?;
            return ControlFlow::Continue(());
        }
        let word = self.word.get_or_insert(Word { hash: SEED, characters: 0 });
        word.hash = hash(word.hash, u64::from(character.to_ascii_lowercase()));
        word.characters += 1;
        if word.characters == WORD_CHARACTERS_MAX { self.end_word() } else { ControlFlow::Continue(()) }
    }

    fn end_word(&mut self) -> ControlFlow<()> {
        match self.word.take() {
            Some(word) => self.push_word(word.hash),
            None => ControlFlow::Continue(()),
        }
    }

    /// A word has ended; breaks where it closes a loop.
    fn push_word(&mut self, word: u64) -> ControlFlow<()> {
        for (period, matches) in (1..).zip(self.matches.iter_mut()).take(self.words.min(PERIOD_WORDS_MAX)) {
            if before(&self.recent, self.words, period) == word {
                *matches += 1;
                let in_loop = *matches + period;
                if in_loop >= self.limits.loop_words && in_loop >= self.limits.loop_repeats * period {
                    return ControlFlow::Break(());
                }
            } else {
                *matches = 0;
            }
        }
        if let Some(slot) = self.recent.get_mut(self.words % PERIOD_WORDS_MAX) {
            *slot = word;
        }
        self.words += 1;
        self.window_words += 1;
        if self.window_words >= self.limits.n {
            let gram = (1..=self.limits.n).fold(SEED, |gram, back| hash(gram, before(&self.recent, self.words, back)));
            self.grams.push(gram);
        }
        if self.window_words == self.limits.window_words {
            self.end_window();
        }
        ControlFlow::Continue(())
    }

    fn end_window(&mut self) {
        if self.window_words >= self.limits.words_min && !self.grams.is_empty() {
            let all = self.grams.len();
            self.grams.sort_unstable();
            self.grams.dedup();
            #[allow(clippy::cast_precision_loss)] // at most 5000
            let distinct = self.grams.len() as f64 / all as f64;
            self.distinct_worst = self.distinct_worst.min(distinct);
        }
        self.grams.clear();
        self.window_words = 0;
    }
}

/// The word that stood `back` words before the end; there were that many.
fn before(recent: &[u64; PERIOD_WORDS_MAX], words: usize, back: usize) -> u64 {
    let at = words.wrapping_sub(back) % PERIOD_WORDS_MAX;
    recent.get(at).copied().unwrap_or_default()
}

/// Chinese characters and kana: their texts have no spaces, so each counts as a word.
fn stands_alone(character: char) -> bool {
    matches!(u32::from(character), 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// Where a hash begins; any odd number with bits all over.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes a value into a hash: the step of wyhash, which folds a 128-bit product.
fn hash(state: u64, value: u64) -> u64 {
    let product = u128::from(state ^ 0xa076_1d64_78bd_642f) * u128::from(value ^ 0xe703_7ed1_a0b4_28db);
    #[allow(clippy::cast_possible_truncation)] // the halves, on purpose
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded.rotate_left(23) ^ value
}

#[cfg(test)]
mod tests;
