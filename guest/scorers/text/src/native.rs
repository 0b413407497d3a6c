//! Answers of services that don't speak the common form: Anthropic's messages, Ollama's own API, OpenAI's responses.
//!
//! They must be told from a JSON document that is itself the answer, or a refusal in one of them would pass for a good
//! document. So each is recognised by the names that only it has together.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;
use softfuse_scorer_common::json::{self, MaybeString};

use crate::choice::{Content, Message};

/// What such an answer, or one event of it, says.
#[derive(Debug, Default)]
pub(crate) struct Native {
    pub(crate) text: String,
    /// Why it stopped, in the service's words.
    pub(crate) stop: Option<String>,
    pub(crate) calls_tools: bool,
    /// It is the stream's end mark.
    pub(crate) ends: bool,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "type", default)]
    kind: MaybeString,
    #[serde(default)]
    object: MaybeString,
    content: Option<Content>,
    delta: Option<Delta>,
    #[serde(default)]
    stop_reason: MaybeString,
    message: Option<Message>,
    response: Option<String>,
    done: Option<bool>,
    #[serde(default)]
    done_reason: MaybeString,
    output: Option<Vec<Output>>,
    incomplete_details: Option<Incomplete>,
}

/// What an event of Anthropic's adds.
#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    text: MaybeString,
    #[serde(default)]
    stop_reason: MaybeString,
}

/// An item of OpenAI's responses: a message, or a tool's call, which has no content.
#[derive(Deserialize)]
struct Output {
    #[serde(rename = "type", default)]
    kind: MaybeString,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: MaybeString,
}

/// Reads such an answer or event, none where it is something else.
pub(crate) fn read(document: &[u8]) -> Option<Native> {
    if json::first_byte(document) != Some(b'{') {
        return None;
    }
    let shape: Shape = json::parse(document).ok()?;
    match (shape.kind.0.as_deref(), shape.object.0.as_deref()) {
        (Some("message"), _) => {
            let text = shape.content?.0;
            let calls_tools = shape.stop_reason.0.as_deref() == Some("tool_use");
            Some(Native { text, calls_tools, stop: shape.stop_reason.0, ends: true })
        }
        (Some("content_block_delta" | "message_delta"), _) => {
            let delta = shape.delta?;
            let calls_tools = delta.stop_reason.0.as_deref() == Some("tool_use");
            Some(Native { text: delta.text.0.unwrap_or_default(), calls_tools, stop: delta.stop_reason.0, ends: false })
        }
        (Some("message_stop"), _) => Some(Native { ends: true, ..Native::default() }),
        (_, Some("response")) => Some(of_output(shape.output?, shape.incomplete_details)),
        _ => {
            let ends = shape.done?;
            let calls_tools = shape.message.as_ref().is_some_and(Message::calls_tools);
            let text = shape.message.map(|message| message.content.0).or(shape.response)?;
            Some(Native { text, calls_tools, stop: shape.done_reason.0, ends })
        }
    }
}

fn of_output(items: Vec<Output>, incomplete: Option<Incomplete>) -> Native {
    let mut native = Native { ends: true, stop: incomplete.and_then(|why| why.reason.0), ..Native::default() };
    for item in items {
        // Reasoning is no part of the answer.
        match item.kind.0.as_deref() {
            Some("message") => native.text.push_str(&item.content.unwrap_or_default().0),
            Some(kind) if kind.ends_with("_call") => native.calls_tools = true,
            _ => {}
        }
    }
    native
}
