//! Takes one answer, whole or in pieces, through the checks.
//!
//! Whole answers go through the same code as pieces, so both get the same score.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

use softfuse_scorer_common::body::{DOCUMENT_BYTES_MAX, Part, Reader};
use softfuse_scorer_common::completion::{self, Completion};
use softfuse_scorer_common::json;
use softfuse_scorer_common::{AnswerStream, End, Head, ScoreError, Verdict};

use crate::choice::{Choice, Message, asks_for_json};
use crate::config::{JsonWanted, TextScorer};
use crate::native::{self, Native};
use crate::refusal::Beginning;
use crate::repetition::Repetition;

/// One answer on its way through the checks.
#[derive(Debug)]
pub struct TextStream {
    reader: Reader,
    checks: Checks,
    /// What was said last, once something was: it stands.
    settled: Option<Result<Verdict, ScoreError>>,
}

impl TextStream {
    pub(crate) fn new(scorer: Rc<TextScorer>, head: &Head, content_type: &str) -> Self {
        let asked = match scorer.json {
            JsonWanted::Auto => scorer.penalties.json > 0.0 && asks_for_json(&head.request.bytes),
            JsonWanted::Always => true,
            JsonWanted::Never => false,
        };
        let settled = (head.operation == "embeddings")
            .then(|| Ok(Verdict::Abstain("the operation is embeddings, whose answer is no text".into())));
        Self { reader: Reader::new(content_type), checks: Checks::new(scorer, asked), settled }
    }
}

impl AnswerStream for TextStream {
    fn push(&mut self, piece: &[u8]) -> Result<Option<Verdict>, ScoreError> {
        if let Some(settled) = &self.settled {
            return settled.clone().map(Some);
        }
        let checks = &mut self.checks;
        let taken = self.reader.push(piece, &mut |part| checks.take(part));
        self.settled = taken.clone().transpose();
        taken
    }

    fn finish(&mut self, end: End) -> Result<Verdict, ScoreError> {
        if let Some(settled) = &self.settled {
            return settled.clone();
        }
        let checks = &mut self.checks;
        let said = match self.reader.finish(end, &mut |part| checks.take(part)) {
            Ok(Some(verdict)) => Ok(verdict),
            Ok(None) => {
                let ended = self.reader.is_done() || self.checks.ended;
                self.checks.verdict(end, self.reader.is_event_stream() && !ended)
            }
            Err(error) => Err(error),
        };
        self.settled = Some(said.clone());
        said
    }
}

/// The checks, and what they have seen so far.
#[derive(Debug)]
struct Checks {
    scorer: Rc<TextScorer>,
    /// What was read: it says whether there was an answer at all.
    seen: Seen,
    json_asked: bool,
    /// The text, kept only where it must be one JSON document.
    document: String,
    /// Those that aren't white space, counted as far as an answer must have some.
    characters: usize,
    /// The last of them.
    last: Option<char>,
    beginning: Beginning,
    repetition: Repetition,
    refused: bool,
    called_tools: bool,
    finish_reason: Option<String>,
    /// The answer's own end mark has come.
    ended: bool,
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Text,
    Events,
    Choice,
}

impl Checks {
    fn new(scorer: Rc<TextScorer>, json_asked: bool) -> Self {
        Self {
            seen: Seen::Nothing,
            json_asked,
            document: String::new(),
            characters: 0,
            last: None,
            beginning: scorer.refusals.beginning(),
            repetition: Repetition::new(scorer.repetition),
            refused: false,
            called_tools: false,
            finish_reason: None,
            ended: false,
            lost: false,
            scorer,
        }
    }

    fn take(&mut self, part: Part<'_>) -> Result<Option<Verdict>, ScoreError> {
        match part {
            Part::Text(text) => {
                self.seen = Seen::Text;
                self.take_text(text)?;
                Ok(self.early_verdict())
            }
            Part::Event(data) => {
                let chunk = completion::read(data).map_err(|error| unreadable("event", &error))?;
                if self.seen == Seen::Nothing {
                    self.seen = Seen::Events;
                }
                let other = chunk.choices.is_none() && chunk.error.is_none();
                match other.then(|| native::read(data)).flatten() {
                    Some(native) => self.take_native(native),
                    None => self.take_completion(chunk),
                }
            }
            Part::Document { bytes, declared } => self.take_document(bytes, declared),
            Part::LostDocument => {
                self.lost = true;
                Ok(None)
            }
        }
    }

    /// A body that is JSON, or claims to be: a completion, an answer that is itself JSON, or after all a plain text.
    fn take_document(&mut self, bytes: &[u8], declared: bool) -> Result<Option<Verdict>, ScoreError> {
        match completion::read::<Choice>(bytes) {
            Ok(document) if document.choices.is_some() || document.error.is_some() => {
                return self.take_completion(document);
            }
            Ok(document) if document.object.0.as_deref() == Some("list") => {
                return abstain("the answer is a list of embeddings or models, not a text");
            }
            Err(error) if completion::looks_like_one(bytes) => return Err(unreadable("document", &error)),
            Ok(_) => {
                if let Some(native) = native::read(bytes) {
                    return self.take_native(native);
                }
            }
            Err(_) => {}
        }
        let text = core::str::from_utf8(bytes)
            .map_err(|_| ScoreError::Malformed("the answer is not UTF-8, which alone is read".into()))?;
        let checked = match self.scorer.json {
            JsonWanted::Auto => declared,
            JsonWanted::Always => true,
            JsonWanted::Never => false,
        } && self.scorer.penalties.json > 0.0;
        if declared && !checked && !json::is_valid(text) {
            let what =
                "it says that it is JSON and isn't; read are OpenAI-style completions, JSON documents, plain text";
            return Err(ScoreError::Malformed(what.into()));
        }
        self.json_asked |= checked;
        self.seen = Seen::Text;
        self.take_text(text)?;
        Ok(self.early_verdict())
    }

    fn take_completion(&mut self, completion: Completion<Choice>) -> Result<Option<Verdict>, ScoreError> {
        if completion.error.is_some() {
            return abstain("the answer is an error of the service, not a text");
        }
        let Some(choice) = completion.first() else { return Ok(None) };
        self.seen = Seen::Choice;
        for message in [choice.message, choice.delta].into_iter().flatten() {
            self.take_message(&message)?;
        }
        self.take_text(choice.text.0.as_deref().unwrap_or_default())?;
        if choice.finish_reason.0.is_some() {
            self.finish_reason = choice.finish_reason.0;
        }
        Ok(self.early_verdict())
    }

    fn take_native(&mut self, native: Native) -> Result<Option<Verdict>, ScoreError> {
        self.seen = Seen::Choice;
        self.called_tools |= native.calls_tools;
        self.ended |= native.ends;
        if native.stop.is_some() {
            self.refused |= native.stop.as_deref() == Some("refusal");
            self.finish_reason = native.stop;
        }
        self.take_text(&native.text)?;
        Ok(self.early_verdict())
    }

    fn take_message(&mut self, message: &Message) -> Result<(), ScoreError> {
        self.called_tools |= message.calls_tools();
        if let Some(refusal) = message.refusal.0.as_deref().filter(|refusal| !refusal.is_empty()) {
            self.refused = true;
            // It is what the user gets to read, so it is no empty answer.
            self.take_text(refusal)?;
        }
        self.take_text(&message.content.0)
    }

    fn take_text(&mut self, text: &str) -> Result<(), ScoreError> {
        let black = |character: &char| !character.is_whitespace();
        // Beyond what an answer must have, it doesn't matter how many there are.
        let missing = self.scorer.characters_min.saturating_sub(self.characters);
        self.characters += text.chars().filter(black).take(missing).count();
        self.last = text.chars().rev().find(black).or(self.last);
        self.beginning.push(text);
        self.repetition.push(text);
        if self.json_asked {
            if self.document.len() + text.len() > DOCUMENT_BYTES_MAX {
                let what = format!("the JSON text is longer than {DOCUMENT_BYTES_MAX} bytes, more than is read");
                return Err(ScoreError::Other(what));
            }
            self.document.push_str(text);
        }
        Ok(())
    }

    /// In a loop, and nothing that may follow could cost more.
    fn early_verdict(&self) -> Option<Verdict> {
        let Self { scorer, repetition, .. } = self;
        let decided = repetition.is_looped() && scorer.penalties.repetition >= scorer.penalties.max();
        (decided && scorer.penalties.repetition > 0.0).then(|| Verdict::Score(1.0 - scorer.penalties.repetition))
    }

    fn verdict(&mut self, end: End, no_end_mark: bool) -> Result<Verdict, ScoreError> {
        let penalties = self.scorer.penalties;
        let truncated = self.is_truncated(end, no_end_mark);
        if self.lost {
            return match (truncated, end) {
                (true, _) if penalties.truncated > 0.0 => Ok(Verdict::Score(1.0 - penalties.truncated)),
                (_, End::Cut) => Ok(Verdict::Abstain("the host cut the JSON document, so it can't be read".into())),
                _ => Err(ScoreError::Malformed("the JSON document broke off; a whole one is read".into())),
            };
        }
        if self.finish_reason.as_deref() == Some("content_filter") {
            return Ok(Verdict::Abstain("a content filter stopped the answer: that is policy, not quality".into()));
        }
        if self.characters == 0 && self.called_tools {
            return Ok(Verdict::Abstain("the answer calls tools and has no text".into()));
        }
        if self.seen == Seen::Events {
            return Ok(Verdict::Abstain("the stream has no choice of a completion".into()));
        }
        // Where a host cut the body, what is missing is the host's doing: the rest is judged as far as it goes.
        let cut = end == End::Cut;
        if cut && self.characters == 0 {
            return Ok(Verdict::Abstain("the host cut the answer before its text began".into()));
        }
        let json_broken = self.json_asked && !cut && !self.is_json();
        let refused = self.refused || self.scorer.refusals.are_in(&self.beginning);
        let empty = self.characters < self.scorer.characters_min && !cut;
        let repetition = self.repetition.finish();
        let worst = [
            (empty, penalties.empty),
            (truncated, penalties.truncated),
            (refused, penalties.refusal),
            (json_broken, penalties.json),
            (true, penalties.repetition * repetition),
        ]
        .into_iter()
        .filter(|(failed, _)| *failed)
        .fold(0.0, |worst, (_, penalty)| f64::max(worst, penalty));
        Ok(Verdict::Score(1.0 - worst))
    }

    fn is_truncated(&self, end: End, no_end_mark: bool) -> bool {
        let by = self.scorer.truncated_by;
        let at_limit = self.finish_reason.as_deref().is_some_and(|reason| {
            ["length", "max_tokens", "max_output_tokens"].iter().any(|limit| reason.eq_ignore_ascii_case(limit))
        });
        let broken = end == End::Broken || (end == End::Complete && no_end_mark);
        (by.finish_reason && at_limit)
            || (by.broken_stream && broken)
            || (by.cut_body && end == End::Cut)
            || (by.sentence_end && end != End::Cut && self.last.is_some_and(|last| !ends_a_sentence(last)))
    }

    fn is_json(&self) -> bool {
        let text = self.document.trim();
        let text = if self.scorer.json_fenced { within_fence(text) } else { text };
        json::is_valid(text)
    }
}

/// Whether a text may end with this character: what ends a sentence in most scripts, closes a bracket, a quotation, a
/// code block or a table.
fn ends_a_sentence(last: char) -> bool {
    ".!?\u{2026}\u{3002}\u{ff01}\u{ff1f}\u{ff0e}\u{964}\u{6d4}\u{61f})]}>\"'\u{201d}\u{2019}\u{bb}\u{300d}\u{300f}`*_|;:-"
        .contains(last)
}

/// What stands within a Markdown fence, where the whole text is one.
fn within_fence(text: &str) -> &str {
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let body = inner.and_then(|inner| inner.split_once('\n')).map(|(_language, body)| body);
    body.unwrap_or(text)
}

fn abstain(why: &str) -> Result<Option<Verdict>, ScoreError> {
    Ok(Some(Verdict::Abstain(why.into())))
}

fn unreadable(what: &str, error: &str) -> ScoreError {
    ScoreError::Malformed(format!(
        "the {what} can't be read: {error}; read are OpenAI-style chat and text completions, whole or in chunks, other \
         JSON documents, and plain text"
    ))
}
