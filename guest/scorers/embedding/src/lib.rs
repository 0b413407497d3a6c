//! Scores embeddings: zero or NaN vectors, the wrong dimension, a shifted norm, drift from a reference, collapse.
//!
//! # The score
//! The smallest of these, each from 0 (worthless) to 1 (good). Where a range is given, the score falls linearly from
//! one end to the other. Checks without their setting are off.
//!
//! | check | 1 | 0 | on where |
//! |---|---|---|---|
//! | content | every vector has finite numbers, not all zero | one has not, or there is none | always |
//! | dimension | all vectors have the same one, and the one configured | otherwise | always; `dimension`, `drift.reference` |
//! | norm | `abs(norm / expected - 1)`, worst vector, up to `tolerance` | from `shift_max` on | `norm.expected` |
//! | drift | mean cosine with the reference from `cosine_good` on | up to `cosine_bad` | `drift.reference` |
//! | collapse | mean pairwise cosine up to `cosine_good` | from `cosine_bad` on | `vectors_min` vectors or more |
//!
//! # Sources
//! - Mean pairwise cosine as the measure of a space in which all vectors look alike: Ethayarajh 2019, *How Contextual are
//!   Contextualized Word Representations?* (arXiv 1909.00512); collapse: Jing et al. 2022, *Understanding Dimensional
//!   Collapse* (arXiv 2110.09348). It is computed from the sum of the unit vectors: `(|sum|^2 - n) / (n (n - 1))`.
//! - Cosine with a centroid as the measure of drift: it is the cosine distance that Evidently and whylogs offer for
//!   embedding drift.
//! - The norm: most services return unit vectors, and a shift tells of a changed pooling, a missing normalisation, or
//!   another model. The limits are ours.
//!
//! # What is read
//! OpenAI-style answers (`data[].embedding`, as numbers or as base64 of little-endian 32-bit floats), `{"embedding": ...}`
//! and `{"embeddings": [...]}`, a JSON list of numbers, or a list of such lists. NaN is read in all its dialects (`NaN`,
//! `"NaN"`, `null`), or it could not be found.
//!
//! Equal inputs have equal embeddings: for a service that gets the same text several times in one request, turn
//! `collapse.check` off.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod answer;
mod checks;
mod config;

#[cfg(target_family = "wasm")]
mod component;

use alloc::rc::Rc;
use alloc::vec::Vec;

use softfuse_scorer_common::body::Reader;
use softfuse_scorer_common::{ConfigProblem, End, Exchange, ScoreError, Scorer, Verdict};

pub use config::{Collapse, Drift, EmbeddingScorer, Norm};

impl Scorer for EmbeddingScorer {
    fn configure(text: &str) -> Result<Self, Vec<ConfigProblem>> {
        // What each fresh instance is handed by most hosts costs it nothing.
        if text.is_empty() { Ok(Self::DEFAULT) } else { softfuse_scorer_common::config::read(text, Self::read) }
    }

    fn score(self: &Rc<Self>, exchange: &Exchange) -> Result<Verdict, ScoreError> {
        let answer = &exchange.answer;
        let mut reader = Reader::new(&answer.content_type);
        let mut take = |part: softfuse_scorer_common::body::Part<'_>| answer::verdict(self, part).map(Some);
        let end = if answer.truncated { End::Cut } else { End::Complete };
        let said = match reader.push(&answer.bytes, &mut take)? {
            Some(early) => Some(early),
            None => reader.finish(end, &mut take)?,
        };
        Ok(said.unwrap_or_else(|| Verdict::Abstain(answer::NOTHING.into())))
    }
}

#[cfg(test)]
mod tests;
