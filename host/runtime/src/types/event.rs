//! What happened to a breaker, as data for callbacks, logs and metrics.

use std::fmt;
use std::sync::Arc;

use super::outcome::kind_from_wit;
use super::{OutcomeKind, State, Time};
use crate::bindings::breaker as wit;
use crate::error::ComponentFailure;
use crate::scorer::ScorerFailure;

/// One condition's part in a trip.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// The condition's place in the policy, as in `any_of[1].error_rate_above`.
    pub path: String,
    /// The measured value: a mean score, a rate between 0 and 1, milliseconds, or a count.
    pub value: f64,
    /// The policy's limit, in the value's unit.
    pub limit: f64,
    /// A sentence with both numbers in it; for a host's own condition, the reason that it gave.
    pub text: String,
}

/// Why a circuit opened.
#[derive(Clone, Debug, PartialEq)]
pub enum TripReason {
    /// Conditions of the policy held.
    Conditions(Vec<Cause>),
    /// A probe ended in this failure.
    ProbeFailed(OutcomeKind),
    /// A probe was too slow, or failed a host's condition; or the probes' mean score was too low.
    ProbeConditions(Vec<Cause>),
    /// The host called `trip`, with this reason.
    Host(String),
}

impl fmt::Display for TripReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conditions(causes) | Self::ProbeConditions(causes) => {
                if matches!(self, Self::ProbeConditions(_)) {
                    f.write_str("probe: ")?;
                }
                for (i, cause) in causes.iter().enumerate() {
                    write!(f, "{}{}", if i == 0 { "" } else { "; " }, cause.text)?;
                }
                Ok(())
            }
            Self::ProbeFailed(kind) => write!(f, "a probe failed: {kind}"),
            Self::Host(reason) => f.write_str(reason),
        }
    }
}

/// Why a state changed.
#[derive(Clone, Debug, PartialEq)]
pub enum EventReason {
    /// The circuit opened, or opened again.
    Tripped(TripReason),
    /// A metrics-only circuit would have opened. Its state stays; its windows are fresh.
    WouldHaveTripped(TripReason),
    /// The open period has passed, and a call asked.
    OpenPeriodOver,
    /// As many probes passed as the policy's `recovery_threshold` asks.
    Recovered,
    /// `reset` was called.
    Reset,
    /// An operator's state was set.
    Operator,
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tripped(reason) => reason.fmt(f),
            Self::WouldHaveTripped(reason) => write!(f, "would have tripped: {reason}"),
            Self::OpenPeriodOver => f.write_str("the open period is over"),
            Self::Recovered => f.write_str("the probes passed"),
            Self::Reset => f.write_str("reset"),
            Self::Operator => f.write_str("set by an operator"),
        }
    }
}

/// A change of state, or a trip that metrics-only withheld.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// When, on the breaker's clock.
    pub at: Time,
    /// The state that was left.
    pub old: State,
    /// The state that was entered.
    pub new: State,
    /// Why.
    pub reason: EventReason,
    /// The generation that begins here: permits of earlier ones are stale.
    pub generation: u32,
    /// How often the circuit has opened, this event included.
    pub trip_count: u64,
    /// While open: when the open period ends, unless a `Retry-After` extends it.
    pub open_until: Option<Time>,
}

impl StateChange {
    /// Whether the circuit opened, or opened again, by this.
    #[must_use]
    pub const fn is_trip(&self) -> bool {
        matches!(self.reason, EventReason::Tripped(_))
    }

    pub(crate) fn from_wit(event: wit::Event) -> Self {
        Self {
            at: Time::from_nanos(event.at),
            old: State::from_wit(event.old),
            new: State::from_wit(event.new),
            reason: match event.reason {
                wit::EventReason::Tripped(reason) => EventReason::Tripped(trip_reason(reason)),
                wit::EventReason::WouldHaveTripped(reason) => EventReason::WouldHaveTripped(trip_reason(reason)),
                wit::EventReason::OpenPeriodOver => EventReason::OpenPeriodOver,
                wit::EventReason::Recovered => EventReason::Recovered,
                wit::EventReason::Reset => EventReason::Reset,
                wit::EventReason::Operator => EventReason::Operator,
            },
            generation: event.generation,
            trip_count: event.trip_count,
            open_until: event.open_until.map(Time::from_nanos),
        }
    }
}

pub(crate) fn trip_reason(reason: wit::TripReason) -> TripReason {
    let causes = |causes: Vec<wit::Cause>| {
        causes.into_iter().map(|c| Cause { path: c.path, value: c.value, limit: c.limit, text: c.text }).collect()
    };
    match reason {
        wit::TripReason::Conditions(list) => TripReason::Conditions(causes(list)),
        wit::TripReason::ProbeFailed(kind) => TripReason::ProbeFailed(kind_from_wit(kind)),
        wit::TripReason::ProbeConditions(list) => TripReason::ProbeConditions(causes(list)),
        wit::TripReason::Host(reason) => TripReason::Host(reason),
    }
}

/// What happened, to which breaker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A breaker's state changed, or would have.
    StateChanged {
        /// The breaker's name.
        breaker: Arc<str>,
        /// What changed, and why.
        change: StateChange,
    },
    /// The breaker component failed in a call, which was admitted or refused as the registry's failure mode says. It is told
    /// when it begins, not again with every call while it fails in the same way or rests.
    ComponentFailed {
        /// The name of the breaker whose call it was.
        breaker: Arc<str>,
        /// How it failed.
        failure: ComponentFailure,
    },
    /// A breaker was brought back after its component had failed or was replaced.
    BreakerRestored {
        /// The breaker's name.
        breaker: Arc<str>,
        /// The state in which it came back.
        state: State,
        /// Records that it had seen since its last snapshot, and that are lost.
        records_lost: u64,
        /// Whether it came back from a snapshot; if not, it is fresh: none had been taken, or it was refused, or the component
        /// failed at it.
        from_snapshot: bool,
    },
    /// A scorer that is attached to a breaker gave no score, and did not abstain.
    ScorerFailed {
        /// The breaker's name.
        breaker: Arc<str>,
        /// The scorer's name.
        scorer: Arc<str>,
        /// Why.
        failure: ScorerFailure,
    },
    /// A host's own condition panicked. It counted as not holding.
    ConditionPanicked {
        /// The breaker's name.
        breaker: Arc<str>,
        /// The condition's name.
        condition: Arc<str>,
    },
}
