//! Measures how much a text repeats itself, as it passes and in bounded memory.
//!
//! Three signs, of which the worst counts: few distinct n-grams in a window of words (graded), a loop (the text has
//! gone round often enough in a period of some words), one character over and over.

mod loops;
mod runs;
mod windows;
mod words;

use core::ops::ControlFlow;

use softfuse_scorer_common::config::Section;

use crate::lanes;
use loops::Loops;
use runs::Runs;
use windows::Windows;
use words::Words;

/// The longest n-gram.
const N_MAX: usize = 8;

/// What counts as repetition.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    pub(crate) const DEFAULT: Self = Self {
        n: 3,
        window_words: 200,
        words_min: 30,
        distinct_good: 0.5,
        distinct_bad: 0.2,
        loop_words: 40,
        loop_repeats: 4,
        run_characters: 200,
    };

    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::DEFAULT;
        let limits = Self {
            n: section.count("n", 1..=N_MAX, default.n),
            window_words: section.count("window_words", 20..=5000, default.window_words),
            words_min: section.count("words_min", 10..=5000, default.words_min),
            distinct_good: section.number("distinct_good", 0.0..=1.0, default.distinct_good),
            distinct_bad: section.number("distinct_bad", 0.0..=1.0, default.distinct_bad),
            loop_words: section.count("loop_words", 4..=100_000, default.loop_words),
            loop_repeats: section.count("loop_repeats", 2..=1000, default.loop_repeats),
            run_characters: section.count("run_characters", 10..=1_000_000, default.run_characters),
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
    runs: Runs,
    words: Words,
    found: Found,
}

/// What the words show.
#[derive(Clone, Debug)]
struct Found {
    loops: Loops,
    windows: Windows,
}

impl Repetition {
    /// Nothing yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            looped: false,
            runs: Runs::new(limits.run_characters),
            words: Words::new(),
            found: Found { loops: Loops::new(), windows: Windows::new() },
        }
    }

    /// Whether the text is in a loop, after which nothing that follows changes its severity.
    #[must_use]
    pub const fn is_looped(&self) -> bool {
        self.looped
    }

    /// Takes the next stretch of the text.
    pub fn push(&mut self, text: &str) {
        self.looped = self.looped || self.read(text).is_break();
    }

    /// The text has ended: how bad its repetition is, from 0 (none) to 1.
    #[must_use]
    pub fn finish(&mut self) -> f64 {
        let Self { limits, words, found, .. } = self;
        self.looped = self.looped || words.end(|word| found.take(word, limits)).is_break();
        if self.looped { 1.0 } else { found.windows.finish(limits) }
    }

    /// Breaks where the text is in a loop.
    fn read(&mut self, text: &str) -> ControlFlow<()> {
        let Self { limits, runs, words, found, .. } = self;
        let mut take = |word| found.take(word, limits);
        let mut rest = text;
        while let Some((ascii, after)) = rest.split_at_checked(lanes::ascii_len(rest.as_bytes())) {
            runs.push_ascii(ascii.as_bytes())?;
            words.push_ascii(ascii.as_bytes(), &mut take)?;
            let mut characters = after.chars();
            let Some(character) = characters.next() else { break };
            runs.push(character)?;
            words.push(character, &mut take)?;
            rest = characters.as_str();
        }
        ControlFlow::Continue(())
    }
}

impl Found {
    /// Takes the next word; breaks where it closes a loop.
    fn take(&mut self, word: u64, limits: &Limits) -> ControlFlow<()> {
        self.loops.push(word, limits)?;
        self.windows.push(word, limits);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
