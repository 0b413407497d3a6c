//! Scores answers by how much of what they say is in the context that they were given: what was retrieved for them, and the question.
//!
//! `grounds.rs` says it of texts; this file is what hosts call.

mod grounds;
mod settings;

use std::cell::RefCell;

use settings::Settings;

wit_bindgen::generate!({ path: "../../../wit/scorer", world: "answer-scorer" });

use exports::softfuse::scorer::scorer::{Body, ConfigProblem, Exchange, Guest, ScoreError, Verdict};

struct Scorer;

export!(Scorer);

thread_local! {
    static SETTINGS: RefCell<Settings> = RefCell::new(Settings::default());
}

impl Guest for Scorer {
    fn configure(config: String) -> Result<(), Vec<ConfigProblem>> {
        let settings =
            Settings::read(&config).map_err(|message| vec![ConfigProblem { key: String::new(), message }])?;
        SETTINGS.replace(settings);
        Ok(())
    }

    fn score(exchange: Exchange) -> Result<Verdict, ScoreError> {
        SETTINGS.with_borrow(|settings| scored(settings, &exchange))
    }
}

fn scored(settings: &Settings, exchange: &Exchange) -> Result<Verdict, ScoreError> {
    let Some(answer) = text(&exchange.answer)? else {
        return Ok(Verdict::Abstain(format!("answers of the type {} are no text", exchange.answer.content_type)));
    };
    let mut context = exchange
        .head
        .metadata
        .iter()
        .filter(|(name, _)| settings.context.contains(name))
        .map(|(_, content)| content.clone())
        .collect::<Vec<String>>();
    if context.is_empty() {
        return Ok(Verdict::Abstain(format!("no context: the metadata has none of {}", settings.context.join(", "))));
    }
    // What was asked for may be said again.
    context.extend(text(&exchange.head.request)?);
    let context: Vec<&str> = context.iter().map(String::as_str).collect();
    match grounds::share(&context, &answer, settings) {
        Some(share) => Ok(Verdict::Score(share)),
        None => Ok(Verdict::Abstain("the answer claims nothing: it has no sentence of enough words".to_owned())),
    }
}

/// A body's text: all of it, or the strings in it where it is JSON. None where it is no text.
fn text(body: &Body) -> Result<Option<String>, ScoreError> {
    let kind = body.content_type.split(';').next().unwrap_or_default().trim();
    if kind.is_empty() || kind.starts_with("text/") {
        return Ok(Some(String::from_utf8_lossy(&body.bytes).into_owned()));
    }
    if kind != "application/json" && !kind.ends_with("+json") {
        return Ok(None);
    }
    let value: serde_json::Value = serde_json::from_slice(&body.bytes)
        .map_err(|error| ScoreError::Malformed(format!("it says that it is JSON, and isn't: {error}")))?;
    let mut found = String::new();
    collect(&value, &mut found);
    Ok(Some(found))
}

/// Every string in a JSON value, a paragraph each. The parser has a bound on how deep it may be nested.
fn collect(value: &serde_json::Value, found: &mut String) {
    match value {
        serde_json::Value::String(text) => {
            found.push_str(text);
            found.push_str("\n\n");
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        serde_json::Value::Object(values) => values.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}
