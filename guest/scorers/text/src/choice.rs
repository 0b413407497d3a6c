//! What the text scorer reads of a completion's choice, and of a request.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use softfuse_scorer_common::completion::Indexed;
use softfuse_scorer_common::json::{self, MaybeString, Number, Present};

/// A choice of a completion, or of one of its chunks.
#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    index: Option<Number>,
    /// In a whole answer.
    pub(crate) message: Option<Message>,
    /// In a chunk.
    pub(crate) delta: Option<Message>,
    /// In the older completions, whole or chunk.
    #[serde(default)]
    pub(crate) text: MaybeString,
    #[serde(default)]
    pub(crate) finish_reason: MaybeString,
}

impl Indexed for Choice {
    fn index(&self) -> Option<f64> {
        self.index.map(|index| index.0)
    }
}

/// A message, or what a chunk adds to it.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    #[serde(default)]
    pub(crate) content: Content,
    #[serde(default)]
    pub(crate) refusal: MaybeString,
    #[serde(default)]
    tool_calls: Option<Vec<Present>>,
    #[serde(default)]
    function_call: Option<Present>,
}

impl Message {
    /// Whether it calls a tool. Some servers send an empty list where there is none.
    pub(crate) fn calls_tools(&self) -> bool {
        self.function_call.is_some() || self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
    }
}

/// A message's text: a string, or parts whose texts are joined.
#[derive(Debug, Default)]
pub(crate) struct Content(pub(crate) String);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of parts, or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content(text.into()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Content, E> {
        Ok(Content(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        #[derive(Deserialize)]
        struct TextPart {
            #[serde(default)]
            text: MaybeString,
        }

        let mut text = String::new();
        while let Some(part) = parts.next_element::<TextPart>()? {
            text.push_str(&part.text.0.unwrap_or_default());
        }
        Ok(Content(text))
    }
}

/// Whether a request asks for JSON: `response_format` of the type `json_object` or `json_schema`.
pub(crate) fn asks_for_json(request: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Request {
        response_format: Option<Format>,
    }

    #[derive(Deserialize)]
    struct Format {
        #[serde(rename = "type", default)]
        kind: MaybeString,
    }

    json::first_byte(request) == Some(b'{')
        && json::parse::<Request>(request).is_ok_and(|request| {
            let kind = request.response_format.and_then(|format| format.kind.0);
            matches!(kind.as_deref(), Some("json_object" | "json_schema"))
        })
}
