//! Reads exchanges for a scorer: one JSON document, or a trace's lines.

use std::collections::BTreeMap;
use std::path::Path;

use softfuse::{Exchange, ExchangeHead};
use softfuse_trace::{Fields, LINE_BYTES_MAX, Line, Source};

use crate::fail::wrong;
use crate::scoring;

/// The keys that tell an answer by itself from an exchange.
const ANSWER_KEYS: [&str; 3] = ["choices", "data", "output"];

/// Hands every exchange of a file to `take`, with its line, until that says that it has enough.
///
/// # Errors
/// Where the file can't be read, or an exchange is wrong; whatever `take` says.
pub(super) fn each(path: &Path, take: &mut dyn FnMut(u64, Exchange) -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let mut source = Source::open(path)?;
    let mut buffer = Vec::new();
    let mut any = false;
    loop {
        let line = source.next(&mut buffer)?;
        let place = |line: u64| format!("{}:{line}", path.display());
        match line {
            Line::End if any => return Ok(()),
            Line::End => return Err(wrong(format!("{}: there is no exchange in it", path.display()))),
            Line::TooLong => return Err(too_long(&place(source.line()))),
            Line::Read if buffer.trim_ascii().is_empty() => continue,
            Line::Read => {}
        }
        let number = source.line();
        // A document that is laid out over several lines begins with one that isn't JSON by itself.
        if !any && Fields::parse(&buffer).is_err_and(|error| error.is_eof()) {
            read_rest(&mut source, &mut buffer)?;
        }
        any = true;
        let exchange = exchange(&buffer).map_err(|message| wrong(format!("{}: {message}", place(number))))?;
        if !take(number, exchange)? {
            return Ok(());
        }
    }
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

fn exchange(text: &[u8]) -> Result<Exchange, String> {
    let fields = Fields::parse(text).map_err(|error| format!("this is no JSON object: {error}"))?;
    let string = |key: &str| match fields.find(key) {
        None => Ok(String::new()),
        Some(raw) => {
            serde_json::from_str(raw.get()).map_err(|_| format!("{key}: expected a text, found {}", raw.get()))
        }
    };
    let Some(response) = fields.find("response") else {
        if ANSWER_KEYS.into_iter().any(|key| fields.find(key).is_some()) {
            return Ok(Exchange::of_answer("application/json", text));
        }
        return Err("response: the key is missing; it is the answer that is to be scored".to_owned());
    };
    let metadata: BTreeMap<String, String> = match fields.find("metadata") {
        None => BTreeMap::new(),
        Some(raw) => serde_json::from_str(raw.get())
            .map_err(|_| "metadata: expected an object of texts, such as {\"tenant\": \"a\"}".to_owned())?,
    };
    Ok(Exchange {
        head: ExchangeHead {
            operation: string("operation")?,
            model: string("model")?,
            request: fields.find("request").map(scoring::body).unwrap_or_default(),
            metadata: metadata.into_iter().collect(),
        },
        answer: scoring::body(response),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_and_bare_answers_are_read() {
        let full = exchange(
            br#"{"operation":"chat","model":"m","request":{"a":1},"response":"Paris","metadata":{"tenant":"x"}}"#,
        )
        .unwrap();
        assert_eq!((full.head.operation.as_str(), full.head.model.as_str()), ("chat", "m"));
        assert_eq!(full.head.request.bytes, b"{\"a\":1}");
        assert_eq!((full.answer.content_type.as_str(), &full.answer.bytes[..]), ("", &b"Paris"[..]));
        assert_eq!(full.head.metadata, [("tenant".to_owned(), "x".to_owned())]);
        let bare = exchange(br#"{"choices":[]}"#).unwrap();
        assert_eq!(bare.answer.content_type, "application/json");
        for (text, said) in [
            (&b"{}"[..], "response: the key is missing"),
            (b"[]", "this is no JSON object"),
            (br#"{"response":{},"operation":3}"#, "operation: expected a text"),
            (br#"{"response":{},"metadata":[]}"#, "metadata: expected an object of texts"),
        ] {
            let error = exchange(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
