//! What a scorer is shown, and what it says.

use std::ffi::c_char;

use softfuse::{Body, Exchange, ExchangeHead, ScoreOutcome, ScorerFailure};

use crate::fault::Fault;
use crate::sized::{read, sized, write};
use crate::text::{bytes, fill, text, text_or_empty};

/// One call and its answer, as a scorer is shown it. All zeros but `size` is one of which nothing is known.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_exchange {
    /// `sizeof(sf_exchange)`, set by the caller.
    pub size: usize,
    /// What was asked for: `chat`, `embeddings`, `classify`. NULL where it isn't known.
    pub operation: *const c_char,
    /// The model's name. NULL where it isn't known.
    pub model: *const c_char,
    /// The request's media type, as in `application/json`. NULL where it isn't known.
    pub request_content_type: *const c_char,
    /// What was asked: `request_length` bytes.
    pub request: *const u8,
    /// See `request`.
    pub request_length: usize,
    /// The answer's media type, as in `text/plain`. NULL where it isn't known.
    pub answer_content_type: *const c_char,
    /// The answer: `answer_length` bytes.
    pub answer: *const u8,
    /// See `answer`.
    pub answer_length: usize,
    /// Whatever else is known, by name: `metadata_count` names.
    pub metadata_names: *const *const c_char,
    /// The values of the names.
    pub metadata_values: *const *const c_char,
    /// See `metadata_names`.
    pub metadata_count: usize,
    /// Not 0: the request was cut at a bound.
    pub request_truncated: u32,
    /// Not 0: the answer was cut at a bound.
    pub answer_truncated: u32,
}

sized!(sf_exchange);

/// What a scorer says.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_verdict_kind {
    /// Nothing yet, of an answer that is being streamed.
    SF_VERDICT_NONE_YET = 0,
    /// A score.
    SF_VERDICT_SCORE = 1,
    /// The exchange is none of the scorer's business; `text` says why. It is no score, and no failure.
    SF_VERDICT_ABSTAINED = 2,
    /// There is no score; `failure` and `text` say why.
    SF_VERDICT_FAILED = 3,
}

/// Why a scorer gave no score. Later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_scorer_failure {
    /// It didn't fail.
    SF_SCORER_NO_FAILURE = 0,
    /// It didn't answer in time.
    SF_SCORER_DEADLINE = 1,
    /// It asked for more memory than it may have.
    SF_SCORER_MEMORY = 2,
    /// Its stack overflowed.
    SF_SCORER_STACK = 3,
    /// It trapped, or ended itself.
    SF_SCORER_TRAPPED = 4,
    /// It returned a number that is no score.
    SF_SCORER_INVALID_SCORE = 5,
    /// It handed over too much at once.
    SF_SCORER_OUTPUT = 6,
    /// The answer isn't of the form that it reads.
    SF_SCORER_MALFORMED = 7,
    /// It said that it can't say.
    SF_SCORER_REFUSED = 8,
    /// It refused its configuration.
    SF_SCORER_CONFIG = 9,
    /// It could not be instantiated.
    SF_SCORER_NOT_STARTING = 10,
    /// All its instances were at work for too long, or too many answers waited.
    SF_SCORER_BUSY = 11,
    /// Another failure.
    SF_SCORER_OTHER = 12,
}

/// What a scorer's run came to. The caller sets `size`, and `text` and `text_capacity` where it wants the words.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_verdict {
    /// `sizeof(sf_verdict)`, set by the caller.
    pub size: usize,
    /// What it says, an `sf_verdict_kind`.
    pub kind: i32,
    /// Of `SF_VERDICT_FAILED`: why, an `sf_scorer_failure`.
    pub failure: i32,
    /// Of `SF_VERDICT_SCORE`: finite, at most 10^6 in magnitude, by convention from 0 (worthless) to 1 (good).
    pub score: f64,
    /// A buffer of the caller's for why it abstained or failed, or NULL. The text ends with a zero, and is cut between characters
    /// where it is too long.
    pub text: *mut c_char,
    /// How many bytes the buffer has, the zero included. Set by the caller.
    pub text_capacity: usize,
    /// How many bytes the whole text has, without the zero.
    pub text_bytes: usize,
}

sized!(sf_verdict);

/// Copies a caller's exchange.
///
/// # Safety
/// By the header's rules of structs that are read, texts, bytes and arrays.
pub(crate) unsafe fn exchange(from: *const sf_exchange) -> Result<Exchange, Fault> {
    // SAFETY: as this function asks.
    unsafe {
        let (given, _) = read(from, "exchange")?;
        let mut metadata = Vec::new();
        if given.metadata_count > 0 {
            if given.metadata_names.is_null() || given.metadata_values.is_null() {
                return Err(Fault::null("exchange->metadata_names"));
            }
            for at in 0..given.metadata_count {
                let name = text(given.metadata_names.add(at).read(), "exchange->metadata_names[]")?;
                let value = text(given.metadata_values.add(at).read(), "exchange->metadata_values[]")?;
                metadata.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(Exchange {
            head: ExchangeHead {
                operation: text_or_empty(given.operation, "exchange->operation")?.to_owned(),
                model: text_or_empty(given.model, "exchange->model")?.to_owned(),
                request: Body {
                    content_type: text_or_empty(given.request_content_type, "exchange->request_content_type")?
                        .to_owned(),
                    bytes: bytes(given.request, given.request_length, "exchange->request")?.to_vec(),
                    truncated: given.request_truncated != 0,
                },
                metadata,
            },
            answer: Body {
                content_type: text_or_empty(given.answer_content_type, "exchange->answer_content_type")?.to_owned(),
                bytes: bytes(given.answer, given.answer_length, "exchange->answer")?.to_vec(),
                truncated: given.answer_truncated != 0,
            },
        })
    }
}

/// Fills a verdict; none for nothing yet.
///
/// # Safety
/// By the header's rule of structs that are filled.
pub(crate) unsafe fn say(verdict: *mut sf_verdict, outcome: Option<&ScoreOutcome>) -> Result<(), Fault> {
    let failed = sf_verdict_kind::SF_VERDICT_FAILED;
    let none = sf_scorer_failure::SF_SCORER_NO_FAILURE;
    let (kind, failure, score, why) = match outcome {
        None => (sf_verdict_kind::SF_VERDICT_NONE_YET, none, 0.0, String::new()),
        Some(ScoreOutcome::Score(score)) => (sf_verdict_kind::SF_VERDICT_SCORE, none, score.get(), String::new()),
        Some(ScoreOutcome::Abstained(why)) => (sf_verdict_kind::SF_VERDICT_ABSTAINED, none, 0.0, why.clone()),
        Some(ScoreOutcome::Failed(failure)) => (failed, word(failure), 0.0, failure.to_string()),
    };
    let set = |out: &mut sf_verdict| {
        (out.kind, out.failure, out.score) = (kind as i32, failure as i32, score);
        // SAFETY: the header asks that the buffer has as many bytes as are said.
        out.text_bytes = unsafe { fill(out.text, out.text_capacity, &why) };
    };
    // SAFETY: as this function asks.
    unsafe { write(verdict, "verdict", set) }
}

const fn word(failure: &ScorerFailure) -> sf_scorer_failure {
    match failure {
        ScorerFailure::DeadlineExceeded(_) => sf_scorer_failure::SF_SCORER_DEADLINE,
        ScorerFailure::OutOfMemory(_) => sf_scorer_failure::SF_SCORER_MEMORY,
        ScorerFailure::StackOverflow => sf_scorer_failure::SF_SCORER_STACK,
        ScorerFailure::Trapped(_) => sf_scorer_failure::SF_SCORER_TRAPPED,
        ScorerFailure::InvalidScore(_) => sf_scorer_failure::SF_SCORER_INVALID_SCORE,
        ScorerFailure::OutputTooLarge(_) => sf_scorer_failure::SF_SCORER_OUTPUT,
        ScorerFailure::Malformed(_) => sf_scorer_failure::SF_SCORER_MALFORMED,
        ScorerFailure::Refused(_) => sf_scorer_failure::SF_SCORER_REFUSED,
        ScorerFailure::BadConfig(_) => sf_scorer_failure::SF_SCORER_CONFIG,
        ScorerFailure::NotStarting(_) => sf_scorer_failure::SF_SCORER_NOT_STARTING,
        ScorerFailure::Busy(_) => sf_scorer_failure::SF_SCORER_BUSY,
        _ => sf_scorer_failure::SF_SCORER_OTHER,
    }
}
