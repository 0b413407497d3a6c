//! How a guarded call ended, and what was said of its answer's quality.

use std::fmt;
use std::time::Duration;

use super::span_nanos;
use crate::bindings::breaker as wit;

/// The largest magnitude that a score may have: the contract's bound.
const SCORE_MAX: f64 = 1e6;

/// What a scorer or a caller says of an answer's quality: finite, at most 10^6 in magnitude, by convention from 0
/// (worthless) to 1 (good).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Score(f64);

impl Score {
    /// Takes a number as a score.
    ///
    /// # Errors
    /// For NaN, the infinities and magnitudes over 10^6.
    #[inline]
    pub fn new(value: f64) -> Result<Self, InvalidScore> {
        // NaN fails every comparison.
        if value.abs() <= SCORE_MAX { Ok(Self(value)) } else { Err(InvalidScore(value)) }
    }

    /// A number that is a score, or NaN for none.
    #[inline]
    pub(crate) fn known(value: f64) -> Option<Self> {
        (!value.is_nan()).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// In units of 10^-9, as the contract quantises it.
    #[inline]
    pub(crate) fn units(self) -> i64 {
        let nearest = self.0 * 1e9 + 0.5;
        // At most 10^15 in magnitude. Towards zero, and one down where that was up: what `floor` does, and costs a call.
        let whole = nearest as i64;
        whole - i64::from(whole as f64 > nearest)
    }
}

impl TryFrom<f64> for Score {
    type Error = InvalidScore;

    fn try_from(value: f64) -> Result<Self, InvalidScore> {
        Self::new(value)
    }
}

/// A number that is no score. Nothing was changed by it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "{0} is no score: a score is finite and at most 1000000 in magnitude, usually between 0 (worthless) and 1 (good)"
)]
pub struct InvalidScore(pub f64);

/// How a guarded call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// An exception, a 5xx, a broken stream.
    Error,
    /// No answer in time.
    Timeout,
    /// The service refused for its rate limit (429).
    RateLimited,
    /// The service refused for its load (503, 529).
    Overloaded,
}

/// How a guarded call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// The service answered. Whether the answer was any good is the score's matter.
    Success,
    /// A failure of the service: an exception, a 5xx, a broken stream.
    Error,
    /// A failure: no answer in time.
    Timeout,
    /// A failure: the service refused for its rate limit (429).
    RateLimited,
    /// A failure: the service refused for its load (503, 529).
    Overloaded,
    /// Neutral: the caller went away.
    Cancelled,
    /// Neutral: the service refused what was asked, by its content policy.
    ContentPolicy,
    /// Neutral: the request was bad by itself.
    BadRequest,
}

impl OutcomeKind {
    /// Every kind, in the contract's order.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Error,
        Self::Timeout,
        Self::RateLimited,
        Self::Overloaded,
        Self::Cancelled,
        Self::ContentPolicy,
        Self::BadRequest,
    ];

    /// Whether it counts against the service.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Error | Self::Timeout | Self::RateLimited | Self::Overloaded)
    }

    /// Whether it counts neither for nor against the service.
    #[must_use]
    pub const fn is_neutral(self) -> bool {
        matches!(self, Self::Cancelled | Self::ContentPolicy | Self::BadRequest)
    }

    /// The contract's name, as in `rate-limited`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate-limited",
            Self::Overloaded => "overloaded",
            Self::Cancelled => "cancelled",
            Self::ContentPolicy => "content-policy",
            Self::BadRequest => "bad-request",
        }
    }

    pub(crate) const fn to_wit(self) -> wit::OutcomeKind {
        match self {
            Self::Success => wit::OutcomeKind::Success,
            Self::Error => wit::OutcomeKind::Error,
            Self::Timeout => wit::OutcomeKind::Timeout,
            Self::RateLimited => wit::OutcomeKind::RateLimited,
            Self::Overloaded => wit::OutcomeKind::Overloaded,
            Self::Cancelled => wit::OutcomeKind::Cancelled,
            Self::ContentPolicy => wit::OutcomeKind::ContentPolicy,
            Self::BadRequest => wit::OutcomeKind::BadRequest,
        }
    }

    pub(crate) const fn from_wit(kind: wit::OutcomeKind) -> Self {
        match kind {
            wit::OutcomeKind::Success => Self::Success,
            wit::OutcomeKind::Error => Self::Error,
            wit::OutcomeKind::Timeout => Self::Timeout,
            wit::OutcomeKind::RateLimited => Self::RateLimited,
            wit::OutcomeKind::Overloaded => Self::Overloaded,
            wit::OutcomeKind::Cancelled => Self::Cancelled,
            wit::OutcomeKind::ContentPolicy => Self::ContentPolicy,
            wit::OutcomeKind::BadRequest => Self::BadRequest,
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<FailureKind> for OutcomeKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Error => Self::Error,
            FailureKind::Timeout => Self::Timeout,
            FailureKind::RateLimited => Self::RateLimited,
            FailureKind::Overloaded => Self::Overloaded,
        }
    }
}

/// What an outcome says of its answer's quality.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Signal {
    /// Nothing. Under `require_quality_signal` a success then records the policy's `missing_score`.
    #[default]
    None,
    /// A score.
    Score(Score),
    /// The score comes later, through [`Settled::late`](crate::Settled): whoever settles owes a score or "missing".
    Pending,
}

/// How a guarded call ended, in full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub kind: OutcomeKind,
    /// From the start of the call to its end: retries included, queueing before the breaker excluded. `None`: from the
    /// permit's admission to its settlement, by the breaker's clock.
    pub latency: Option<Duration>,
    /// What is said of the answer's quality. A score that was reported on the permit takes its place where it is
    /// [`Signal::None`].
    pub signal: Signal,
    /// How long the service asked not to be called (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// An outcome of this kind, without a score, its latency measured by the permit.
    #[must_use]
    pub const fn new(kind: OutcomeKind) -> Self {
        Self { kind, latency: None, signal: Signal::None, retry_after: None }
    }

    /// The service answered.
    #[must_use]
    pub const fn success() -> Self {
        Self::new(OutcomeKind::Success)
    }

    /// The service failed.
    #[must_use]
    pub fn failure(kind: FailureKind) -> Self {
        Self::new(kind.into())
    }

    /// The caller went away: neutral.
    #[must_use]
    pub const fn cancelled() -> Self {
        Self::new(OutcomeKind::Cancelled)
    }

    /// The same, with this latency.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }

    /// The same, with this score.
    #[must_use]
    pub const fn with_score(mut self, score: Score) -> Self {
        self.signal = Signal::Score(score);
        self
    }

    /// The same, its score to come later.
    #[must_use]
    pub const fn with_pending_score(mut self) -> Self {
        self.signal = Signal::Pending;
        self
    }

    /// The same, with the service's `Retry-After`.
    #[must_use]
    pub const fn with_retry_after(mut self, span: Duration) -> Self {
        self.retry_after = Some(span);
        self
    }

    /// Its score, where it has one.
    #[inline]
    pub(crate) const fn score(&self) -> Option<Score> {
        match self.signal {
            Signal::Score(score) => Some(score),
            Signal::None | Signal::Pending => None,
        }
    }

    pub(crate) fn to_wit(self, latency_nanos: u64) -> wit::Outcome {
        wit::Outcome {
            kind: self.kind.to_wit(),
            latency: latency_nanos,
            signal: match self.signal {
                Signal::None => wit::Signal::None,
                Signal::Score(score) => wit::Signal::Score(score.get()),
                Signal::Pending => wit::Signal::Pending,
            },
            retry_after: self.retry_after.map(span_nanos),
        }
    }
}
