//! How a guarded call ended, and what was said of its answer's quality.

use std::time::Duration;

use softfuse_outcome::OutcomeKind;

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
    #[inline]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// In units of 10^-9, as the contract quantises it.
    #[inline]
    pub(crate) fn units(self) -> i64 {
        // 1.5 * 2^52: of what is added to it, at most 2^51 in magnitude, the nearest whole number is left in the lowest bits.
        const WHOLE: f64 = 6_755_399_441_055_744.0;
        let nearest = self.0 * 1e9 + 0.5;
        // At most 10^15 in magnitude. One down where that was up: what `floor` does, which costs a call, and in fewer steps one
        // after the other than a conversion there and back takes.
        let shifted = nearest + WHOLE;
        let whole = shifted.to_bits().wrapping_sub(WHOLE.to_bits()).cast_signed();
        whole - i64::from(shifted - WHOLE > nearest)
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

/// The contract's word for a kind.
pub(crate) const fn kind_to_wit(kind: OutcomeKind) -> wit::OutcomeKind {
    match kind {
        OutcomeKind::Success => wit::OutcomeKind::Success,
        OutcomeKind::Error => wit::OutcomeKind::Error,
        OutcomeKind::Timeout => wit::OutcomeKind::Timeout,
        OutcomeKind::RateLimited => wit::OutcomeKind::RateLimited,
        OutcomeKind::Overloaded => wit::OutcomeKind::Overloaded,
        OutcomeKind::Cancelled => wit::OutcomeKind::Cancelled,
        OutcomeKind::ContentPolicy => wit::OutcomeKind::ContentPolicy,
        OutcomeKind::BadRequest => wit::OutcomeKind::BadRequest,
    }
}

/// A kind by the contract's word for it.
pub(crate) const fn kind_from_wit(kind: wit::OutcomeKind) -> OutcomeKind {
    match kind {
        wit::OutcomeKind::Success => OutcomeKind::Success,
        wit::OutcomeKind::Error => OutcomeKind::Error,
        wit::OutcomeKind::Timeout => OutcomeKind::Timeout,
        wit::OutcomeKind::RateLimited => OutcomeKind::RateLimited,
        wit::OutcomeKind::Overloaded => OutcomeKind::Overloaded,
        wit::OutcomeKind::Cancelled => OutcomeKind::Cancelled,
        wit::OutcomeKind::ContentPolicy => OutcomeKind::ContentPolicy,
        wit::OutcomeKind::BadRequest => OutcomeKind::BadRequest,
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
    #[inline]
    pub const fn new(kind: OutcomeKind) -> Self {
        Self { kind, latency: None, signal: Signal::None, retry_after: None }
    }

    /// The service answered.
    #[must_use]
    #[inline]
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
            kind: kind_to_wit(self.kind),
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_floor(value: f64) -> i64 {
        (value * 1e9 + 0.5).floor() as i64
    }

    #[test]
    fn units_are_what_floor_makes_of_halves_and_of_the_largest() {
        let ends = [0.0, -0.0, 1.0, SCORE_MAX, SCORE_MAX - 1e-9, 5e-324];
        let halves = (-4..=4).map(|number| f64::from(number) * 0.5e-9);
        let near = halves.flat_map(|value| [value.next_down(), value, value.next_up()]);
        for value in ends.into_iter().chain(near).flat_map(|value| [value, -value]) {
            assert_eq!(Score::new(value).unwrap().units(), by_floor(value), "{value:e}");
        }
    }

    proptest! {
        #[test]
        fn units_are_what_floor_makes(value in prop_oneof![-SCORE_MAX..=SCORE_MAX, -1.0..=1.0, -1e-6..=1e-6]) {
            prop_assert_eq!(Score::new(value).unwrap().units(), by_floor(value));
        }
    }
}
