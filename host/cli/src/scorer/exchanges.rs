//! Reads exchanges for a scorer: one JSON document, or a trace's lines.

use std::collections::BTreeMap;
use std::path::Path;

use softfuse::{Exchange, ExchangeHead};
use softfuse_trace::{Fields, LINE_BYTES_MAX, Line, Source};

use crate::fail::wrong;
use crate::output;
use crate::scoring;

/// The keys that tell an answer by itself from an exchange.
const ANSWER_KEYS: [&str; 3] = ["choices", "data", "output"];
/// The keys that tell a trace's call from an exchange: it may have failed, and so have no response.
const CALL_KEYS: [&str; 2] = ["at_ms", "outcome"];

/// What a line holds.
#[derive(Debug)]
enum Entry {
    Exchange(Exchange),
    /// A trace's call that has no response.
    Unanswered,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq)]
struct Fault {
    /// The line within the text, from 1, and the column, where they are known.
    place: Option<(usize, usize)>,
    message: String,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self { place: None, message }
    }
}

/// Hands every exchange of a file to `take`, with its line, until that says that it has enough. How many of a trace's calls
/// were passed over, since they have no response.
///
/// # Errors
/// Where the file can't be read, or an exchange is wrong; whatever `take` says.
pub(super) fn each(path: &Path, take: &mut dyn FnMut(u64, Exchange) -> anyhow::Result<bool>) -> anyhow::Result<u64> {
    let mut source = Source::open(path)?;
    let mut buffer = Vec::new();
    let (mut any, mut taken, mut unanswered) = (false, false, 0);
    loop {
        let line = source.next(&mut buffer)?;
        match line {
            Line::End if taken => return Ok(unanswered),
            Line::End if any => {
                return Err(wrong(format!(
                    "{}: there is no exchange in it, but {unanswered} {} without a response",
                    source.name(),
                    if unanswered == 1 { "call" } else { "calls" }
                )));
            }
            Line::End => return Err(wrong(format!("{}: there is no exchange in it", source.name()))),
            Line::TooLong => return Err(too_long(&format!("{}:{}", source.name(), source.line()))),
            Line::Read if buffer.trim_ascii().is_empty() => continue,
            Line::Read => {}
        }
        let number = source.line();
        // A document that is laid out over several lines begins with one that isn't JSON by itself.
        if !any && Fields::parse(&buffer).is_err_and(|error| error.is_eof()) {
            read_rest(&mut source, &mut buffer)?;
        }
        any = true;
        match entry(&buffer) {
            Ok(Entry::Unanswered) => unanswered += 1,
            Ok(Entry::Exchange(exchange)) => {
                taken = true;
                if !take(number, exchange)? {
                    return Ok(unanswered);
                }
            }
            Err(Fault { place: None, message }) => return Err(wrong(format!("{}:{number}: {message}", source.name()))),
            Err(Fault { place: Some((line, column)), message }) => {
                // From the first line of the text.
                let line = number + line.saturating_sub(1) as u64;
                return Err(wrong(format!("{}:{line}:{column}: {message}", source.name())));
            }
        }
    }
}

/// Says at the end how many calls were passed over, if any were.
pub(super) fn tell_unanswered(count: u64) -> anyhow::Result<()> {
    if count > 0 {
        let what = if count == 1 { "call has" } else { "calls have" };
        output::warning(&format!("{} {what} no response, and so no score", output::grouped(count)))?;
    }
    Ok(())
}

/// Reads the rest of the file behind what is in the buffer.
fn read_rest(source: &mut Source, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut line = Vec::new();
    loop {
        match source.next(&mut line)? {
            Line::End => return Ok(()),
            Line::Read if buffer.len() + line.len() <= LINE_BYTES_MAX => {
                buffer.push(b'\n');
                buffer.extend_from_slice(&line);
            }
            Line::Read | Line::TooLong => return Err(too_long(source.name())),
        }
    }
}

fn too_long(place: &str) -> anyhow::Error {
    wrong(format!("{place}: more than {LINE_BYTES_MAX} bytes, the most of an exchange"))
}

fn entry(text: &[u8]) -> Result<Entry, Fault> {
    let fields = Fields::parse(text).map_err(|error| no_json(&error))?;
    let string = |key: &str| match fields.find(key) {
        None => Ok(String::new()),
        Some(raw) => {
            serde_json::from_str(raw.get()).map_err(|_| format!("{key}: expected a text, found {}", raw.get()))
        }
    };
    let has = |key: &&str| fields.find(key).is_some();
    let Some(response) = fields.find("response") else {
        // Many logs write null where there is no answer.
        let is_null = fields.has("response");
        if !is_null && ANSWER_KEYS.iter().any(has) {
            return Ok(Entry::Exchange(Exchange::of_answer("application/json", text)));
        }
        if CALL_KEYS.iter().any(has) {
            return Ok(Entry::Unanswered);
        }
        let what = if is_null { "null is no answer" } else { "the key is missing" };
        return Err(format!("response: {what}; it must be the answer that is to be scored").into());
    };
    let metadata: BTreeMap<String, String> = match fields.find("metadata") {
        None => BTreeMap::new(),
        Some(raw) => serde_json::from_str(raw.get())
            .map_err(|_| "metadata: expected an object of texts, such as {\"tenant\": \"a\"}".to_owned())?,
    };
    Ok(Entry::Exchange(Exchange {
        head: ExchangeHead {
            operation: string("operation")?,
            model: string("model")?,
            request: fields.find("request").map(scoring::body).unwrap_or_default(),
            metadata: metadata.into_iter().collect(),
        },
        answer: scoring::body(response),
    }))
}

fn no_json(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    // Where a place isn't known, the parser says column 0.
    let place = Some((error.line(), error.column())).filter(|(_, column)| *column > 0);
    Fault { place, message: format!("this is no JSON object: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(text: &[u8]) -> Exchange {
        match entry(text).unwrap() {
            Entry::Exchange(exchange) => exchange,
            Entry::Unanswered => panic!("no response in {}", String::from_utf8_lossy(text)),
        }
    }

    #[test]
    fn exchanges_and_bare_answers_are_read() {
        let full = exchange(
            br#"{"operation":"chat","model":"m","request":{"a":1},"response":"Paris","metadata":{"tenant":"x"}}"#,
        );
        assert_eq!((full.head.operation.as_str(), full.head.model.as_str()), ("chat", "m"));
        assert_eq!(full.head.request.bytes, b"{\"a\":1}");
        assert_eq!((full.answer.content_type.as_str(), &full.answer.bytes[..]), ("", &b"Paris"[..]));
        assert_eq!(full.head.metadata, [("tenant".to_owned(), "x".to_owned())]);
        let bare = exchange(br#"{"choices":[]}"#);
        assert_eq!(bare.answer.content_type, "application/json");
        for unanswered in [r#"{"at_ms":1,"outcome":"timeout"}"#, r#"{"at_ms":1,"outcome":"timeout","response":null}"#] {
            assert!(matches!(entry(unanswered.as_bytes()), Ok(Entry::Unanswered)), "{unanswered}");
        }
        for (text, place, said) in [
            (&b"{}"[..], None, "response: the key is missing"),
            (br#"{"response": null, "data": [1]}"#, None, "response: null is no answer; it must be"),
            (b"[]", Some((1, 0)), "this is no JSON object"),
            (b"{\n  \"response\": x}", Some((2, 15)), "this is no JSON object"),
            (br#"{"response":{},"operation":3}"#, None, "operation: expected a text"),
            (br#"{"response":{},"metadata":[]}"#, None, "metadata: expected an object of texts"),
        ] {
            let fault = entry(text).unwrap_err();
            assert!(fault.message.starts_with(said), "{fault:?}");
            assert_eq!(fault.place, place.filter(|(_, column)| *column > 0), "{fault:?}");
        }
    }
}
