//! Scores an answer's text: empty, cut off, repeating itself, a refusal, or broken JSON where JSON was asked for.
//!
//! # The score
//! `1 - p`, where `p` is the largest penalty of the checks that fail: 1 is an answer that no check objects to, 0 one
//! that is worthless. The worst counts, and not a sum or a product, so that a score says by itself how bad the worst
//! finding is, and does not drift with the number of checks that are on. A penalty of 0 turns its check off.
//!
//! | check | penalty | fails where |
//! |---|---|---|
//! | `empty` | 1.0 | fewer than `characters_min` characters that aren't white space |
//! | `truncated` | 0.5 | `finish_reason` is `length`, or a stream broke off or lacks its `[DONE]`; other signs by choice |
//! | `repetition` | 1.0, graded | few n-grams are distinct; or a loop; or one character over and over |
//! | `refusal` | 0.8 | the answer begins with a refusal, or the service says that it is one |
//! | `json` | 1.0 | JSON was asked for, and the text isn't one JSON document |
//!
//! # Sources
//! - Distinct-n, the share of n-grams that occur once or for the first time: Li et al. 2016, *A Diversity-Promoting
//!   Objective Function for Neural Conversation Models* (arXiv 1510.03055). It falls with the length of a text, so it
//!   is taken in windows of equal length, and the worst window counts.
//! - Repetition as a sign of low quality, and the habit of measuring it on word n-grams: Rae et al. 2021, *Scaling
//!   Language Models* (Gopher; arXiv 2112.11446), appendix A.1.1.
//! - Loops, a text that goes round in a period: Holtzman et al. 2020, *The Curious Case of Neural Text Degeneration*
//!   (arXiv 1904.09751).
//! - One character for ever (`!!!!!!`, or white space in JSON mode) is what models with overflowing activations and
//!   constrained decoders send; the limit is ours.
//!
//! # What is read
//! Plain text; OpenAI-style completions and Anthropic's messages, whole or as server-sent events; OpenAI's responses and
//! Ollama's own answers, whole; any other JSON document, which is then itself the answer. Of several choices the first
//! is scored. `guest/scorers/README.md` lists the configuration.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod choice;
mod config;
mod lanes;
mod native;
mod reading;
mod refusal;
mod repetition;

#[cfg(target_family = "wasm")]
mod component;

use alloc::rc::Rc;
use alloc::vec::Vec;

use softfuse_scorer_common::exchange::score_whole;
use softfuse_scorer_common::{ConfigProblem, Exchange, Head, ScoreError, Scorer, StreamScorer, Verdict};

pub use config::{JsonWanted, Penalties, TextScorer, TruncatedBy};
pub use reading::TextStream;
pub use refusal::Refusals;
pub use repetition::{Limits, Repetition};

impl Scorer for TextScorer {
    fn configure(text: &str) -> Result<Self, Vec<ConfigProblem>> {
        // What each fresh instance is handed by most hosts costs it nothing.
        if text.is_empty() { Ok(Self::DEFAULT) } else { softfuse_scorer_common::config::read(text, Self::read) }
    }

    fn score(self: &Rc<Self>, exchange: &Exchange) -> Result<Verdict, ScoreError> {
        score_whole(self, exchange)
    }
}

impl StreamScorer for TextScorer {
    type Stream = TextStream;

    fn begin(self: &Rc<Self>, head: &Head, content_type: &str) -> TextStream {
        TextStream::new(Rc::clone(self), head, content_type)
    }
}

#[cfg(test)]
mod tests;
