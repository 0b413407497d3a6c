//! Takes one answer, whole or in pieces, through the metric.
//!
//! Whole answers go through the same code as pieces, so both get the same score.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

use serde::Deserialize;
use softfuse_scorer_common::body::{Part, Reader};
use softfuse_scorer_common::completion::{self, Completion};
use softfuse_scorer_common::json::{self, Vectors};
use softfuse_scorer_common::{AnswerStream, End, ScoreError, Verdict};

use crate::choice::{ByText, Choice, Logprobs, Token};
use crate::config::LogprobsScorer;
use crate::measure::Measure;
use crate::softmax;

/// One answer on its way through the metric.
#[derive(Debug)]
pub struct LogprobsStream {
    reader: Reader,
    tokens: Tokens,
    /// What was said last, once something was: it stands.
    settled: Option<Result<Verdict, ScoreError>>,
}

impl LogprobsStream {
    pub(crate) fn new(scorer: Rc<LogprobsScorer>, content_type: &str) -> Self {
        let tokens = Tokens { scorer, measure: Measure::new(), lost: false };
        Self { reader: Reader::new(content_type), tokens, settled: None }
    }
}

impl AnswerStream for LogprobsStream {
    fn push(&mut self, piece: &[u8]) -> Result<Option<Verdict>, ScoreError> {
        if let Some(settled) = &self.settled {
            return settled.clone().map(Some);
        }
        let tokens = &mut self.tokens;
        let taken = self.reader.push(piece, &mut |part| tokens.take(part));
        self.settled = taken.clone().transpose();
        taken
    }

    fn finish(&mut self, end: End) -> Result<Verdict, ScoreError> {
        if let Some(settled) = &self.settled {
            return settled.clone();
        }
        let tokens = &mut self.tokens;
        let said = match self.reader.finish(end, &mut |part| tokens.take(part)) {
            Ok(Some(verdict)) => Ok(verdict),
            Ok(None) => {
                let no_end_mark = self.reader.is_event_stream() && !self.reader.is_done();
                self.tokens.verdict(end, end == End::Broken || (end == End::Complete && no_end_mark))
            }
            Err(error) => Err(error),
        };
        self.settled = Some(said.clone());
        said
    }
}

/// The tokens, and what they have come to so far.
#[derive(Debug)]
struct Tokens {
    scorer: Rc<LogprobsScorer>,
    measure: Measure,
    lost: bool,
}

impl Tokens {
    fn take(&mut self, part: Part<'_>) -> Result<Option<Verdict>, ScoreError> {
        match part {
            Part::Text(_) => abstain("the answer is a plain text, without log-probabilities"),
            Part::Event(data) => {
                let chunk = completion::read(data).map_err(|error| unreadable("event", &error))?;
                self.take_completion(chunk)
            }
            Part::Document { bytes, declared } => match json::first_byte(bytes) {
                Some(b'{') => self.take_object(bytes, declared),
                Some(b'[') => match json::parse::<Vectors>(bytes) {
                    Ok(vectors) => self.take_vectors(&vectors),
                    Err(error) => not_read(&error, declared),
                },
                _ if json::parse::<serde::de::IgnoredAny>(bytes).is_ok() => abstain(NOTHING),
                _ => not_read("it is no JSON", declared),
            },
            Part::LostDocument => {
                self.lost = true;
                Ok(None)
            }
        }
    }

    fn take_object(&mut self, bytes: &[u8], declared: bool) -> Result<Option<Verdict>, ScoreError> {
        #[derive(Deserialize)]
        struct Softmax {
            probabilities: Option<Vectors>,
        }

        let document: Completion<Choice> = match completion::read(bytes) {
            Ok(document) => document,
            Err(error) => return not_read(&error, declared || completion::looks_like_one(bytes)),
        };
        if document.choices.is_some() || document.error.is_some() {
            return self.take_completion(document);
        }
        match json::parse::<Softmax>(bytes) {
            Ok(Softmax { probabilities: Some(vectors) }) => self.take_vectors(&vectors),
            Ok(Softmax { probabilities: None }) => abstain(NOTHING),
            Err(error) => Err(unreadable("document", &error)),
        }
    }

    fn take_vectors(&self, vectors: &Vectors) -> Result<Option<Verdict>, ScoreError> {
        if vectors.0.is_empty() {
            return Err(unreadable("document", "it has no probabilities"));
        }
        let score = softmax::score(&vectors.0, &self.scorer).map_err(|error| unreadable("document", &error))?;
        Ok(Some(Verdict::Score(score)))
    }

    fn take_completion(&mut self, completion: Completion<Choice>) -> Result<Option<Verdict>, ScoreError> {
        if completion.error.is_some() {
            return abstain("the answer is an error of the service");
        }
        let logprobs = completion.first().and_then(|choice| choice.logprobs);
        if let Some(logprobs) = logprobs {
            self.take_logprobs(&logprobs).map_err(|error| unreadable("completion", &error))?;
        }
        Ok(None)
    }

    fn take_logprobs(&mut self, logprobs: &Logprobs) -> Result<(), String> {
        let Self { scorer, measure, .. } = self;
        let tokens = [&logprobs.content, &logprobs.refusal].into_iter().flatten().flatten();
        for Token { logprob, top_logprobs } in tokens {
            let alternatives = top_logprobs.iter().flatten().map(|alternative| alternative.logprob.0);
            measure.take(scorer, logprob.0, alternatives)?;
        }
        for (at, logprob) in logprobs.token_logprobs.iter().flatten().enumerate() {
            match logprob {
                Some(logprob) => {
                    let tops = logprobs.top_logprobs.as_ref().and_then(|tops| tops.get(at)).and_then(Option::as_ref);
                    let alternatives = tops.into_iter().flat_map(|ByText(logprobs)| logprobs.iter().copied());
                    measure.take(scorer, logprob.0, alternatives)?;
                }
                None if measure.tokens == 0 && at == 0 => {}
                None => return Err(format!("token {at} has null for its log-probability; only the very first may")),
            }
        }
        Ok(())
    }

    fn verdict(&self, end: End, broken: bool) -> Result<Verdict, ScoreError> {
        let Self { scorer, measure, lost } = self;
        if *lost && end == End::Cut {
            return Ok(Verdict::Abstain("the host cut the JSON document, so it can't be read".into()));
        }
        if *lost {
            return Err(ScoreError::Malformed("the JSON document broke off; a whole one is read".into()));
        }
        if broken && !scorer.broken_scored {
            return Ok(Verdict::Abstain("the stream broke off, and broken_stream is \"abstain\"".into()));
        }
        if measure.tokens == 0 {
            return Ok(Verdict::Abstain(NOTHING.into()));
        }
        if measure.tokens < scorer.tokens_min {
            let why = format!("the answer has {} tokens, tokens_min is {}", measure.tokens, scorer.tokens_min);
            return Ok(Verdict::Abstain(why));
        }
        match measure.score(scorer) {
            Some(score) => Ok(Verdict::Score(score)),
            None => {
                debug_assert!(scorer.metric.needs_alternatives(), "every token counts for the other metrics");
                let why = "this metric needs two alternatives a token: ask the service for \"top_logprobs\": 2 or more";
                Ok(Verdict::Abstain(why.into()))
            }
        }
    }
}

/// Why an answer without any log-probability isn't scored, and what to do.
const NOTHING: &str = "the answer has no log-probabilities: ask the service for them by \"logprobs\": true";

fn abstain(why: &str) -> Result<Option<Verdict>, ScoreError> {
    Ok(Some(Verdict::Abstain(why.into())))
}

/// A document that can't be read: malformed where it was meant for us, else a plain text that looks like JSON.
fn not_read(error: &str, meant: bool) -> Result<Option<Verdict>, ScoreError> {
    if meant {
        Err(unreadable("document", error))
    } else {
        abstain("the answer is a plain text, without log-probabilities")
    }
}

fn unreadable(what: &str, error: &str) -> ScoreError {
    ScoreError::Malformed(format!(
        "the {what} can't be read: {error}; read are OpenAI-style completions with logprobs, whole or in chunks, a JSON \
         list of probabilities that sum to 1, a list of such lists, or {{\"probabilities\": ...}} with either"
    ))
}
