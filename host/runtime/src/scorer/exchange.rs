//! What a scorer is shown, and what it says.

use std::time::Duration;

use crate::bindings::scorer as wit;
use crate::types::Score;

/// Metadata by which a scorer that takes no streams learns that one broke off.
const INCOMPLETE: (&str, &str) = ("stream-complete", "false");

/// A request's or an answer's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// A media type, as in `application/json`; empty where it is not known.
    pub content_type: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// Whether the content was cut at a bound.
    pub truncated: bool,
}

impl Body {
    /// A whole content.
    #[must_use]
    pub fn new(content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.to_owned(), bytes: bytes.into(), truncated: false }
    }

    /// A copy of a content's first `bytes_max` bytes.
    #[must_use]
    pub fn cut(content_type: &str, bytes: &[u8], bytes_max: usize) -> Self {
        let kept = &bytes[..bytes.len().min(bytes_max)];
        Self { content_type: content_type.to_owned(), bytes: kept.to_vec(), truncated: kept.len() < bytes.len() }
    }

    /// Cuts it.
    pub(crate) fn cut_to(&mut self, bytes_max: usize) {
        if self.bytes.len() > bytes_max {
            self.bytes.truncate(bytes_max);
            self.bytes.shrink_to_fit();
            self.truncated = true;
        }
    }

    /// Adds a piece, as far as there is room.
    pub(super) fn append(&mut self, piece: &[u8], bytes_max: usize) {
        let room = bytes_max.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        self.truncated |= piece.len() > room;
    }

    fn as_wit(&self) -> wit::Body<'_> {
        wit::Body { content_type: &self.content_type, bytes: &self.bytes, truncated: self.truncated }
    }
}

/// What is known when a call begins to be answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeHead {
    /// What was asked for, in the host's terms: `chat`, `embeddings`, `classify`.
    pub operation: String,
    /// The model's name, empty where it is not known.
    pub model: String,
    /// What was asked.
    pub request: Body,
    /// Whatever else the host knows, by name: headers, a tenant, a reference answer.
    pub metadata: Vec<(String, String)>,
}

impl ExchangeHead {
    /// The metadata as [`as_wit`](Self::as_wit) takes it.
    pub(super) fn metadata_as_wit(&self) -> Vec<(&str, &str)> {
        self.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(super) fn as_wit<'a>(&'a self, metadata: &'a [(&'a str, &'a str)]) -> wit::ExchangeHead<'a> {
        let Self { operation, model, request, .. } = self;
        wit::ExchangeHead { operation, model, request: request.as_wit(), metadata }
    }
}

/// One call and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The call.
    pub head: ExchangeHead,
    /// The answer.
    pub answer: Body,
}

impl Exchange {
    /// An exchange of which nothing is known but the answer.
    #[must_use]
    pub fn of_answer(content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { head: ExchangeHead::default(), answer: Body::new(content_type, bytes) }
    }

    /// The same, of a stream that was collected and has ended, or broke off.
    pub(super) fn ended(mut self, complete: bool) -> Self {
        if !complete {
            self.head.metadata.push((INCOMPLETE.0.to_owned(), INCOMPLETE.1.to_owned()));
        }
        self
    }

    pub(super) fn as_wit<'a>(&'a self, metadata: &'a [(&'a str, &'a str)]) -> wit::Exchange<'a> {
        wit::Exchange { head: self.head.as_wit(metadata), answer: self.answer.as_wit() }
    }
}

/// One thing wrong with a scorer's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key, empty where the text as a whole is wrong.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// What a scorer's run came to.
#[derive(Clone, Debug, PartialEq)]
pub enum ScoreOutcome {
    /// How good the answer is.
    Score(Score),
    /// This exchange is none of the scorer's business, and why. It is no score, and no failure.
    Abstained(String),
    /// There is no score, and why.
    Failed(ScorerFailure),
}

impl ScoreOutcome {
    /// The score, if there is one.
    #[must_use]
    pub const fn score(&self) -> Option<Score> {
        match self {
            Self::Score(score) => Some(*score),
            Self::Abstained(_) | Self::Failed(_) => None,
        }
    }
}

/// Why a scorer gave no score.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScorerFailure {
    /// It didn't answer in time.
    #[error("no answer within {0:?}")]
    DeadlineExceeded(Duration),
    /// It asked for more memory than it may have.
    #[error("it asked for more than its {0} bytes of memory")]
    OutOfMemory(usize),
    /// Its stack overflowed.
    #[error("its stack overflowed")]
    StackOverflow,
    /// It trapped, or ended itself.
    #[error("it trapped: {0}")]
    Trapped(String),
    /// It returned a number that is no score.
    #[error("it returned {0}, which is no score")]
    InvalidScore(f64),
    /// It handed over more than this many bytes at once.
    #[error("it handed over more than {0} bytes")]
    OutputTooLarge(usize),
    /// The answer isn't of the form that this scorer reads.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// It said that it can't say.
    #[error("it can't say: {0}")]
    Refused(String),
    /// It refused its configuration.
    #[error("it refuses its configuration: {}", config_lines(.0))]
    BadConfig(Vec<ConfigProblem>),
    /// It could not be instantiated.
    #[error("it doesn't start: {0}")]
    NotStarting(String),
    /// All its instances were at work for so long, or too many answers waited.
    #[error("all its instances were at work for {0:?}")]
    Busy(Duration),
}

impl ScorerFailure {
    /// A word for it, as in the metric `softfuse_scorer_failures_total`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::DeadlineExceeded(_) => "deadline",
            Self::OutOfMemory(_) => "memory",
            Self::StackOverflow => "stack",
            Self::Trapped(_) => "trapped",
            Self::InvalidScore(_) => "invalid-score",
            Self::OutputTooLarge(_) => "output",
            Self::Malformed(_) => "malformed",
            Self::Refused(_) => "refused",
            Self::BadConfig(_) => "config",
            Self::NotStarting(_) => "not-starting",
            Self::Busy(_) => "busy",
        }
    }
}

fn config_lines(problems: &[ConfigProblem]) -> String {
    let line = |problem: &ConfigProblem| match problem.key.as_str() {
        "" => problem.message.clone(),
        key => format!("{key}: {}", problem.message),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("; ")
}
