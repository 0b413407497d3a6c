//! Scores an answer by how sure the model was of it: token log-probabilities, or a classifier's softmax vector.
//!
//! # The score
//! From 0 (the model was guessing) to 1 (it was certain), by one of these metrics. *p* is a token's probability, *n*
//! the number of tokens, *k* the number of alternatives that came with a token, or of a vector's classes.
//!
//! | `metric` | of tokens | of a softmax vector |
//! |---|---|---|
//! | `mean_confidence` (default) | geometric mean of p: `exp(mean(ln p))`, which is 1 / perplexity | the largest probability |
//! | `worst_token` | the smallest p | the largest probability |
//! | `perplexity` | `1 - ln(perplexity) / ln(perplexity_max)`, at least 0 | the same, of `exp(H)` |
//! | `margin` | mean of p1 - p2, the two likeliest alternatives | p1 - p2 |
//! | `entropy` | mean of `1 - H / ln k` over the alternatives, made to sum to 1 | `1 - H / ln k` |
//!
//! Several vectors in one answer get the mean of their scores. Confidence is not truth: a model can be sure and wrong,
//! and it can be unsure of one of two good words. What the score shows is change, as when a degraded replica, a wrong
//! template or too high a temperature makes a model unsure of all that it says.
//!
//! # Sources
//! - Perplexity: Jelinek et al. 1977. The mean token log-probability as confidence: Guerreiro et al. 2023, *Looking for
//!   a Needle in a Haystack* (arXiv 2208.05309), under the name of Seq-Logprob.
//! - Maximum softmax probability: Hendrycks and Gimpel 2017, *A Baseline for Detecting Misclassified and
//!   Out-of-Distribution Examples* (arXiv 1610.02136).
//! - Margin and entropy as measures of uncertainty: Settles 2009, *Active Learning Literature Survey*, section 3.1, after
//!   Scheffer et al. 2001 and Shannon 1948. The worst token: Manakul et al. 2023, *SelfCheckGPT* (arXiv 2303.08896), whose
//!   `max(-log p)` it is.
//!
//! # What is read
//! OpenAI-style chat completions (`choices[].logprobs.content[]`), the older completions
//! (`choices[].logprobs.token_logprobs`), both whole or as server-sent events; a JSON list of probabilities, a list of
//! such lists, or `{"probabilities": ...}` with either. Of several choices the first is scored.
//!
//! A log-probability below `logprob_min` counts as that: OpenAI sends -9999.0 for "not among the likeliest", others
//! minus infinity, and one such token would otherwise decide any mean.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod choice;
mod config;
mod measure;
mod reading;
mod softmax;

#[cfg(target_family = "wasm")]
mod component;

use alloc::rc::Rc;
use alloc::vec::Vec;

use softfuse_scorer_common::exchange::score_whole;
use softfuse_scorer_common::{ConfigProblem, Exchange, Head, ScoreError, Scorer, StreamScorer, Verdict};

pub use config::{LogprobsScorer, Metric};
pub use reading::LogprobsStream;

impl Scorer for LogprobsScorer {
    fn configure(text: &str) -> Result<Self, Vec<ConfigProblem>> {
        // What each fresh instance is handed by most hosts costs it nothing.
        if text.is_empty() { Ok(Self::DEFAULT) } else { softfuse_scorer_common::config::read(text, Self::read) }
    }

    fn score(self: &Rc<Self>, exchange: &Exchange) -> Result<Verdict, ScoreError> {
        score_whole(self, exchange)
    }
}

impl StreamScorer for LogprobsScorer {
    type Stream = LogprobsStream;

    fn begin(self: &Rc<Self>, _: &Head, content_type: &str) -> LogprobsStream {
        LogprobsStream::new(Rc::clone(self), content_type)
    }
}

#[cfg(test)]
mod tests;
