//! The forms in which services send embeddings.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use softfuse_scorer_common::body::Part;
use softfuse_scorer_common::json::{self, Present, Row, Vectors};
use softfuse_scorer_common::{ScoreError, Verdict};

use crate::checks;
use crate::config::EmbeddingScorer;

/// Why an answer that isn't about embeddings isn't scored.
pub(crate) const NOTHING: &str = "the answer has no embeddings";

/// An answer with embeddings, in one of several services' forms, or with something else.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<Vec<Item>>,
    embedding: Option<Embedding>,
    embeddings: Option<Vectors>,
    choices: Option<Present>,
    error: Option<Present>,
}

#[derive(Debug, Deserialize)]
struct Item {
    embedding: Option<Embedding>,
}

/// A vector, as numbers or in base64.
#[derive(Debug)]
struct Embedding(Vec<f64>);

/// Says what an answer is worth by one part of it.
pub(crate) fn verdict(scorer: &EmbeddingScorer, part: Part<'_>) -> Result<Verdict, ScoreError> {
    match part {
        Part::Text(_) | Part::Event(_) => abstain(NOTHING),
        Part::LostDocument => abstain("the host cut the JSON document, so it can't be read"),
        Part::Document { bytes, declared } => {
            let vectors = match json::first_byte(bytes) {
                Some(b'[') => json::parse::<Vectors>(bytes).map(|vectors| Ok(vectors.0)),
                Some(b'{') => json::parse::<Answer>(bytes).map(vectors_of),
                _ => json::parse::<IgnoredAny>(bytes).map(|_| Err(NOTHING)),
            };
            match vectors {
                Ok(Ok(vectors)) => Ok(Verdict::Score(checks::score(scorer, &vectors))),
                Ok(Err(why)) => abstain(why),
                // Without a content type it may be a plain text that looks like JSON.
                Err(_) if !declared && json::parse::<IgnoredAny>(bytes).is_err() => abstain(NOTHING),
                Err(error) => Err(unreadable(&error)),
            }
        }
    }
}

/// The vectors of an answer, or why it has none.
fn vectors_of(answer: Answer) -> Result<Vec<Vec<f64>>, &'static str> {
    if answer.error.is_some() {
        return Err("the answer is an error of the service");
    }
    if answer.choices.is_some() {
        return Err("the answer is a completion, without embeddings");
    }
    if let Some(Embedding(vector)) = answer.embedding {
        return Ok(vec![vector]);
    }
    if let Some(Vectors(vectors)) = answer.embeddings {
        return Ok(vectors);
    }
    let items = answer.data.ok_or(NOTHING)?;
    if !items.is_empty() && items.iter().all(|item| item.embedding.is_none()) {
        return Err(NOTHING);
    }
    // One that is missing among others is an empty vector, which is worthless.
    Ok(items.into_iter().map(|item| item.embedding.map(|embedding| embedding.0).unwrap_or_default()).collect())
}

impl<'de> Deserialize<'de> for Embedding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EmbeddingVisitor)
    }
}

struct EmbeddingVisitor;

impl<'de> Visitor<'de> for EmbeddingVisitor {
    type Value = Embedding;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, or base64 of little-endian 32-bit floats")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Embedding, E> {
        let bytes = BASE64.decode(text).map_err(|error| E::custom(format!("the embedding is no base64: {error}")))?;
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            let what = format!("the embedding is {} bytes in base64; 32-bit floats take 4 each", bytes.len());
            return Err(E::custom(what));
        }
        Ok(Embedding(floats.iter().map(|float| f64::from(f32::from_le_bytes(*float))).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, numbers: A) -> Result<Embedding, A::Error> {
        Row::deserialize(SeqAccessDeserializer::new(numbers)).map(|row| Embedding(row.0))
    }
}

/// The common alphabet, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn abstain(why: &str) -> Result<Verdict, ScoreError> {
    Ok(Verdict::Abstain(why.into()))
}

fn unreadable(error: &str) -> ScoreError {
    ScoreError::Malformed(format!(
        "the document can't be read: {error}; read are OpenAI-style embeddings (data[].embedding, numbers or base64), \
         {{\"embedding\": [...]}}, {{\"embeddings\": [[...]]}}, a JSON list of numbers, or a list of such lists"
    ))
}
