//! What the logprobs scorer reads of a completion's choice.

use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use softfuse_scorer_common::completion::Indexed;
use softfuse_scorer_common::json::Number;

/// A choice of a completion, or of one of its chunks.
#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    index: Option<Number>,
    pub(crate) logprobs: Option<Logprobs>,
}

impl Indexed for Choice {
    fn index(&self) -> Option<f64> {
        self.index.map(|index| index.0)
    }
}

/// The log-probabilities of a choice, in the form of chats or of the older completions.
#[derive(Debug, Deserialize)]
pub(crate) struct Logprobs {
    /// Of a chat's text.
    pub(crate) content: Option<Vec<Token>>,
    /// Of a refusal, which a chat may have in place of its text.
    pub(crate) refusal: Option<Vec<Token>>,
    /// Of the older completions. The first is null where the prompt is echoed: nothing goes before it.
    pub(crate) token_logprobs: Option<Vec<Option<Number>>>,
    /// Of the older completions: a token's alternatives, by their text.
    pub(crate) top_logprobs: Option<Vec<Option<ByText>>>,
}

/// A chat's token.
#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    pub(crate) logprob: Number,
    pub(crate) top_logprobs: Option<Vec<Alternative>>,
}

/// A token that the model might have taken.
#[derive(Debug, Deserialize)]
pub(crate) struct Alternative {
    pub(crate) logprob: Number,
}

/// The log-probabilities of a map from text.
#[derive(Debug)]
pub(crate) struct ByText(pub(crate) Vec<f64>);

impl<'de> Deserialize<'de> for ByText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByTextVisitor)
    }
}

struct ByTextVisitor;

impl<'de> Visitor<'de> for ByTextVisitor {
    type Value = ByText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tokens to log-probabilities")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<ByText, A::Error> {
        let mut logprobs = Vec::new();
        while let Some((_, logprob)) = entries.next_entry::<IgnoredAny, Number>()? {
            logprobs.push(logprob.0);
        }
        Ok(ByText(logprobs))
    }
}
