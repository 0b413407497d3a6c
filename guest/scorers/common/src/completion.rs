//! The envelope of OpenAI-style completions, which most gateways and model servers speak.
//!
//! One shape serves the answer as a whole and the chunks of a stream. What a scorer reads of a choice is its own to
//! say. Where several choices were asked for, the first is scored: a score must mean the same for every answer.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::json::{self, MaybeString, Present};

/// A completion, or a chunk of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "C: serde::Deserialize<'de>"))]
pub struct Completion<C> {
    /// The choices; none where the document is something else.
    pub choices: Option<Vec<C>>,
    /// There where the service answers with an error, whatever the status was.
    pub error: Option<Present>,
    /// `list` in an answer with embeddings.
    #[serde(default)]
    pub object: MaybeString,
}

/// What tells the first choice from the others.
pub trait Indexed {
    /// The choice's index; none where it isn't said.
    fn index(&self) -> Option<f64>;
}

impl<C: Indexed> Completion<C> {
    /// The first choice, if it is in this chunk.
    #[must_use]
    pub fn first(self) -> Option<C> {
        self.choices?.into_iter().find(|choice| choice.index().unwrap_or_default() == 0.0)
    }
}

/// Reads a completion or a chunk.
///
/// # Errors
/// It isn't a JSON object, or it has the right names for the wrong things: what is wrong, with line and column.
pub fn read<C: DeserializeOwned>(document: &[u8]) -> Result<Completion<C>, String> {
    // serde would take a list for the fields in order.
    match json::first_byte(document) {
        Some(b'{') => json::parse(document),
        Some(other) => Err(format!("it begins with {:?}", char::from(other))),
        None => Err("it is empty".into()),
    }
}

/// Whether a document that can't be read was meant to be a completion.
#[must_use]
pub fn looks_like_one(document: &[u8]) -> bool {
    const NAME: &[u8] = b"\"choices\"";
    json::first_byte(document) == Some(b'{') && document.windows(NAME.len()).any(|window| window == NAME)
}
