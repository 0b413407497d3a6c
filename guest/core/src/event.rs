//! What a breaker tells its host: changes of state, trips and their reasons, as data.

use crate::condition::Cause;
use crate::outcome::OutcomeKind;
use crate::time::Instant;
use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Longest text that a breaker keeps of a reason, in bytes: a host's own may be of any length.
pub const TEXT_BYTES_MAX: usize = 1024;

/// A text cut to [`TEXT_BYTES_MAX`], so that what is kept and saved of it is bounded.
pub(crate) fn bounded(mut text: String) -> String {
    const CUT: &str = "...";
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX - CUT.len()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str(CUT);
    }
    text
}

/// Where a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Calls flow.
    Closed,
    /// Calls are refused until the open period has passed.
    Open,
    /// A few calls at a time are admitted as probes.
    HalfOpen,
    /// An operator refuses every call.
    ForcedOpen,
    /// An operator admits every call; outcomes change totals only.
    Disabled,
    /// Every call is admitted and recorded; what would have tripped is said.
    MetricsOnly,
}

impl State {
    /// Its name, as in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced-open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics-only",
        }
    }
}

/// The states that an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorState {
    /// See [`State::ForcedOpen`].
    ForcedOpen,
    /// See [`State::Disabled`].
    Disabled,
    /// See [`State::MetricsOnly`].
    MetricsOnly,
}

/// Why a circuit opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TripReason {
    /// Conditions of the policy held.
    Conditions(Vec<Cause>),
    /// A probe ended in this failure.
    ProbeFailed(OutcomeKind),
    /// A probe was too slow or failed a host's condition, or the probes' mean score was too low.
    ProbeConditions(Vec<Cause>),
    /// The host called for it.
    Host(String),
}

impl fmt::Display for TripReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conditions(causes) | Self::ProbeConditions(causes) => {
                for (index, cause) in causes.iter().enumerate() {
                    let comma = if index > 0 { "; " } else { "" };
                    write!(f, "{comma}{}: {}", cause.path, cause.text)?;
                }
                Ok(())
            }
            Self::ProbeFailed(kind) => write!(f, "a probe failed: {}", kind.name()),
            Self::Host(reason) => f.write_str(reason),
        }
    }
}

/// Why a state changed.
#[derive(Clone, Debug, PartialEq)]
pub enum EventReason {
    /// The circuit opened, or opened again.
    Tripped(TripReason),
    /// A metrics-only circuit would have opened.
    WouldHaveTripped(TripReason),
    /// The open period has passed, and a call asked.
    OpenPeriodOver,
    /// Enough probes passed.
    Recovered,
    /// The host called `reset`.
    Reset,
    /// The host set an operator's state.
    Operator,
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tripped(reason) => reason.fmt(f),
            Self::WouldHaveTripped(reason) => write!(f, "would have tripped: {reason}"),
            Self::OpenPeriodOver => f.write_str("the open period has passed"),
            Self::Recovered => f.write_str("enough probes passed"),
            Self::Reset => f.write_str("reset by the host"),
            Self::Operator => f.write_str("set by the operator"),
        }
    }
}

/// A change of state, or a trip that metrics-only withheld.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// The state before.
    pub old: State,
    /// The state after.
    pub new: State,
    /// Why.
    pub reason: EventReason,
    /// The generation that begins here.
    pub generation: u32,
    /// How often the circuit has opened, this event included.
    pub trip_count: u64,
    /// While open: when the open period ends, unless it is extended.
    pub open_until: Option<Instant>,
}

/// Most calls change nothing, so what they return holds an event behind a pointer.
pub type MaybeEvent = Option<Box<Event>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded(String::from("short")), "short");
        let cut = bounded("ä".repeat(TEXT_BYTES_MAX));
        assert!(cut.len() <= TEXT_BYTES_MAX && cut.len() > TEXT_BYTES_MAX - 4, "{}", cut.len());
        assert!(cut.ends_with("ä..."));
    }
}
