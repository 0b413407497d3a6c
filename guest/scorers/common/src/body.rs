//! Takes an answer's bytes apart by their content type, whole or in pieces.
//!
//! An answer comes as plain text, as one JSON document, or as server-sent events (the `data:` lines of streamed
//! completions). A [`Reader`] hands a scorer the [`Part`]s: text as it passes, the data of each event, the document at
//! the end. It keeps at most one line, or one document, within the bounds named here.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::exchange::{End, ScoreError, Verdict};

/// The longest JSON document that is read, in bytes: more than a hundred embeddings of 3072 numbers.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// The longest line, and the longest data of one event, in bytes. Events with log-probabilities take a few kilobytes.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// What ends a stream of completions.
const DONE: &[u8] = b"[DONE]";

/// What an event stream begins with.
const EVENT_PREFIX: &[u8] = b"data:";

/// How much white space may come first where no content type tells what the answer is; with more it is a text.
const SNIFFED_BYTES_MAX: usize = 4096;

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The next stretch of a plain text.
    Text(&'a str),
    /// One event's data, `[DONE]` excepted.
    Event(&'a [u8]),
    /// A whole JSON document, or what claims to be one; `declared` where the content type says so.
    Document {
        /// The document.
        bytes: &'a [u8],
        /// Whether the content type says that it is JSON; otherwise it only looks like it and may be a plain text.
        declared: bool,
    },
    /// The end of an answer that ends early: of a document that can't be read, since its rest is missing.
    LostDocument,
}

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Events,
    Json {
        declared: bool,
    },
    /// No content type: the first bytes will tell.
    Unknown,
    /// A picture, say.
    Foreign,
}

/// Takes bytes, hands out [`Part`]s.
#[derive(Debug)]
pub struct Reader {
    form: Form,
    content_type: String,
    /// What can't be handed out yet: half a character, half a line, the document so far.
    kept: Vec<u8>,
    /// The data of the event whose end hasn't come.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, so that a line feed that follows belongs to it.
    after_cr: bool,
    done: bool,
}

/// What a scorer does with a part: it may come to its verdict.
type Taken = Result<Option<Verdict>, ScoreError>;

impl Reader {
    /// A reader for an answer of this content type, empty where it is not known.
    #[must_use]
    pub fn new(content_type: &str) -> Self {
        Self {
            form: form_of(content_type),
            content_type: content_type.chars().take(100).collect(),
            kept: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            done: false,
        }
    }

    /// Whether the answer is a stream of events, which has an end mark.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        self.form == Form::Events
    }

    /// Whether `[DONE]` has come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Takes the next piece and hands its parts to `take`, until that comes to a verdict.
    ///
    /// # Errors
    /// Those of `take`, and: the content type is foreign (an abstention), the text is no UTF-8, something is too long.
    pub fn push(&mut self, piece: &[u8], take: &mut dyn FnMut(Part<'_>) -> Taken) -> Taken {
        match self.form {
            Form::Foreign => Ok(Some(self.foreign())),
            Form::Unknown => self.sniff(piece, take),
            Form::Text => self.push_text(piece, take),
            Form::Events => self.push_events(piece, take),
            Form::Json { .. } => {
                if self.kept.len() + piece.len() > DOCUMENT_BYTES_MAX {
                    return Err(too_long("document", DOCUMENT_BYTES_MAX));
                }
                self.kept.extend_from_slice(piece);
                Ok(None)
            }
        }
    }

    /// Takes the end and hands out what was kept.
    ///
    /// # Errors
    /// As [`Reader::push`].
    pub fn finish(&mut self, end: End, take: &mut dyn FnMut(Part<'_>) -> Taken) -> Taken {
        let kept = core::mem::take(&mut self.kept);
        match self.form {
            Form::Foreign => Ok(Some(self.foreign())),
            // Too short to be JSON or an event stream.
            Form::Unknown => {
                self.form = Form::Text;
                let early = self.push_text(&kept, take)?;
                if early.is_some() { Ok(early) } else { self.finish(end, take) }
            }
            // Half a character is an error only where nothing is missing.
            Form::Text if end == End::Complete && !kept.is_empty() => Err(not_utf8()),
            Form::Text => Ok(None),
            Form::Events => {
                // The book says that an event without its blank line is dropped; real servers leave the last one out.
                if end == End::Complete && !kept.is_empty() {
                    self.take_line(&kept, take)?;
                }
                if end == End::Complete { self.dispatch(take) } else { Ok(None) }
            }
            Form::Json { declared } if end == End::Complete => take(Part::Document { bytes: &kept, declared }),
            Form::Json { .. } => take(Part::LostDocument),
        }
    }

    fn foreign(&self) -> Verdict {
        Verdict::Abstain(format!("the answer is {}; read are text, JSON and event streams", self.content_type))
    }

    fn sniff(&mut self, piece: &[u8], take: &mut dyn FnMut(Part<'_>) -> Taken) -> Taken {
        let mut all = core::mem::take(&mut self.kept);
        all.extend_from_slice(piece);
        let seen = all.trim_ascii_start();
        self.form = match seen.first() {
            Some(b'{' | b'[') => Form::Json { declared: false },
            Some(_) if seen.starts_with(EVENT_PREFIX) => Form::Events,
            Some(_) if !EVENT_PREFIX.starts_with(seen) => Form::Text,
            _ if all.len() > SNIFFED_BYTES_MAX => Form::Text,
            _ => Form::Unknown,
        };
        if self.form == Form::Unknown {
            self.kept = all;
            return Ok(None);
        }
        self.push(&all, take)
    }

    fn push_text(&mut self, piece: &[u8], take: &mut dyn FnMut(Part<'_>) -> Taken) -> Taken {
        let mut rest = piece;
        // A character that began in an earlier piece: at most 3 bytes are kept, so this ends.
        while !self.kept.is_empty() && !rest.is_empty() {
            let (first, after) = rest.split_at(1);
            self.kept.extend_from_slice(first);
            rest = after;
            match core::str::from_utf8(&self.kept) {
                Ok(text) => {
                    let early = take(Part::Text(text))?;
                    self.kept.clear();
                    if early.is_some() {
                        return Ok(early);
                    }
                }
                Err(error) if error.error_len().is_some() => return Err(not_utf8()),
                Err(_) => {}
            }
        }
        let text = match core::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) if error.error_len().is_some() => return Err(not_utf8()),
            Err(error) => {
                let (whole, half) = rest.split_at(error.valid_up_to());
                self.kept.extend_from_slice(half);
                core::str::from_utf8(whole).map_err(|_| not_utf8())?
            }
        };
        if text.is_empty() { Ok(None) } else { take(Part::Text(text)) }
    }

    fn push_events(&mut self, piece: &[u8], take: &mut dyn FnMut(Part<'_>) -> Taken) -> Taken {
        if piece.is_empty() {
            return Ok(None);
        }
        let mut rest = piece;
        if core::mem::take(&mut self.after_cr)
            && let Some(after) = rest.strip_prefix(b"\n")
        {
            rest = after;
        }
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, after) = rest.split_at(at);
            let crlf = after.starts_with(b"\r\n");
            self.after_cr = after == b"\r";
            rest = after.get(if crlf { 2 } else { 1 }..).unwrap_or_default();
            let early = if self.kept.is_empty() {
                self.take_line(line, take)?
            } else {
                self.keep_line(line)?;
                let whole = core::mem::take(&mut self.kept);
                self.take_line(&whole, take)?
            };
            if early.is_some() {
                return Ok(early);
            }
        }
        self.keep_line(rest)?;
        Ok(None)
    }

    fn keep_line(&mut self, part: &[u8]) -> Result<(), ScoreError> {
        if self.kept.len() + part.len() > EVENT_BYTES_MAX {
            return Err(too_long("line of the event stream", EVENT_BYTES_MAX));
        }
        self.kept.extend_from_slice(part);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], take: &mut dyn FnMut(Part<'_>) -> Taken) -> Taken {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if line.is_empty() {
            return self.dispatch(take);
        }
        // Other fields (event, id, retry) and comments say nothing of the answer's quality.
        let Some(value) = line.strip_prefix(b"data:") else { return Ok(None) };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if self.data.len() + value.len() + 1 > EVENT_BYTES_MAX {
            return Err(too_long("event", EVENT_BYTES_MAX));
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
        Ok(None)
    }

    fn dispatch(&mut self, take: &mut dyn FnMut(Part<'_>) -> Taken) -> Taken {
        if !core::mem::take(&mut self.has_data) {
            return Ok(None);
        }
        let data = core::mem::take(&mut self.data);
        if data.trim_ascii() == DONE {
            self.done = true;
            return Ok(None);
        }
        // What comes after the end mark is no part of the answer.
        if self.done { Ok(None) } else { take(Part::Event(&data)) }
    }
}

fn form_of(content_type: &str) -> Form {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" => Form::Unknown,
        "text/event-stream" => Form::Events,
        "application/json" | "text/json" => Form::Json { declared: true },
        other if other.ends_with("+json") => Form::Json { declared: true },
        other if other.starts_with("text/") => Form::Text,
        _ => Form::Foreign,
    }
}

fn too_long(what: &str, bytes_max: usize) -> ScoreError {
    ScoreError::Other(format!("a {what} is longer than {bytes_max} bytes, more than is read"))
}

fn not_utf8() -> ScoreError {
    ScoreError::Malformed("the answer's text is not UTF-8, which alone is read".to_owned())
}

#[cfg(test)]
mod tests;
