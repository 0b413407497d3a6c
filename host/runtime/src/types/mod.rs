//! What crosses the library's border as plain values: times, outcomes, refusals, events and statuses.
//!
//! They say what `wit/breaker/breaker.wit` says, in Rust's words: no type of the component runtime appears in them, so
//! that it can change without a change of this API.

mod event;
mod outcome;
mod status;

pub use event::{Cause, Event, EventReason, StateChange, TripReason};
pub use outcome::{FailureKind, InvalidScore, Outcome, Score, Signal};
pub use softfuse_outcome::OutcomeKind;
pub use status::{
    CircuitStatus, Effect, FailureReport, OperatorState, PolicyInfo, PolicyProblem, Reading, State, Totals, Transition,
    TripReport,
};

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant on a breaker's clock: nanoseconds from an origin that the clock chooses.
///
/// Instants that are handed in are taken as not negative. An instant in an answer may be, where a restored breaker
/// remembers what happened before its clock's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The instant so many nanoseconds after the clock's origin.
    #[must_use]
    #[inline]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The instant so many milliseconds after the clock's origin.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds from the clock's origin.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// From the clock's origin to this instant; zero for an instant before it.
    #[must_use]
    pub fn since_origin(self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// From `earlier` to this instant; zero where `earlier` is later.
    #[inline]
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// Nanoseconds from `earlier` to this instant; zero where `earlier` is later.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        // The difference of two `i64`, the larger first, fits.
        if self.0 > earlier.0 { self.0.abs_diff(earlier.0) } else { 0 }
    }

    /// As the component takes it.
    #[inline]
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }
}

/// A span as the component takes it; 2^63 - 1 ns, the longest that it tells apart, for longer ones.
#[inline]
pub(crate) fn span_nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(span.subsec_nanos()))
}

impl Add<Duration> for Time {
    type Output = Self;

    #[inline]
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span_nanos(span)).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span_nanos(span)).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Time {
    /// Seconds from the clock's origin, as in `12.345s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:?}", Duration::from_nanos(self.0.unsigned_abs()))
    }
}
