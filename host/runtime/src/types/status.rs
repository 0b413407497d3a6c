//! What there is to know of a circuit, and of a policy.

use std::fmt;
use std::time::Duration;

use super::event::{TripReason, trip_reason};
use super::outcome::kind_from_wit;
use super::{OutcomeKind, Time};
use crate::bindings::breaker as wit;

/// Where a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls flow.
    Closed,
    /// Calls are refused until the open period has passed.
    Open,
    /// A few calls at a time are admitted as probes.
    HalfOpen,
    /// An operator refuses every call until `reset`.
    ForcedOpen,
    /// An operator admits every call; outcomes change totals only.
    Disabled,
    /// Every call is admitted and recorded; what would have tripped is said and never refused.
    MetricsOnly,
}

impl State {
    /// Every state; the index is its value in the metric `softfuse_state`.
    pub const ALL: [Self; 6] =
        [Self::Closed, Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::Disabled, Self::MetricsOnly];

    /// The contract's name, as in `half-open`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced-open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics-only",
        }
    }

    /// Its value in the metric `softfuse_state`.
    #[must_use]
    pub const fn as_metric(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Open => 1,
            Self::HalfOpen => 2,
            Self::ForcedOpen => 3,
            Self::Disabled => 4,
            Self::MetricsOnly => 5,
        }
    }

    pub(crate) const fn from_wit(state: wit::State) -> Self {
        match state {
            wit::State::Closed => Self::Closed,
            wit::State::Open => Self::Open,
            wit::State::HalfOpen => Self::HalfOpen,
            wit::State::ForcedOpen => Self::ForcedOpen,
            wit::State::Disabled => Self::Disabled,
            wit::State::MetricsOnly => Self::MetricsOnly,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The states that an operator sets. `reset` leaves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperatorState {
    /// Refuses every call.
    ForcedOpen,
    /// Admits every call; outcomes change totals only.
    Disabled,
    /// Admits and records every call, and says what would have tripped.
    MetricsOnly,
}

impl OperatorState {
    pub(crate) const fn to_wit(self) -> wit::OperatorState {
        match self {
            Self::ForcedOpen => wit::OperatorState::ForcedOpen,
            Self::Disabled => wit::OperatorState::Disabled,
            Self::MetricsOnly => wit::OperatorState::MetricsOnly,
        }
    }
}

/// What became of a settled outcome or a late score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It took its place in the windows.
    Recorded,
    /// It was a probe's, and the probe passed or failed by it.
    Probed,
    /// Totals changed, nothing else: a neutral outcome, or any outcome of a disabled circuit. For a late score: nothing changed,
    /// since its call's outcome was neutral, or the circuit is disabled.
    Ignored,
    /// Totals changed, nothing else, since the permit belongs to an earlier generation or to a probe that is gone. For a
    /// late score: nothing changed.
    Stale,
    /// A probe's outcome whose score is owed: the probe keeps its slot till the score has come.
    Pending,
    /// Nothing was recorded, since the breaker component failed, or because the permit was given while it had failed.
    Lost,
}

impl Effect {
    pub(crate) const fn from_wit(effect: wit::Effect) -> Self {
        match effect {
            wit::Effect::Recorded => Self::Recorded,
            wit::Effect::Probed => Self::Probed,
            wit::Effect::Ignored => Self::Ignored,
            wit::Effect::Stale => Self::Stale,
            wit::Effect::Pending => Self::Pending,
        }
    }
}

/// A circuit's calls since it was made; `reset` doesn't clear them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that were settled: successes, failures and neutral ones, stale ones included.
    pub calls: u64,
    /// Of `calls`, those that the service answered.
    pub successes: u64,
    /// Of `calls`, those that failed.
    pub failures: u64,
    /// Of `calls`, those that count neither for nor against the service.
    pub neutral: u64,
    /// Calls that were refused.
    pub rejections: u64,
    /// Of `calls`, those settled too late to count.
    pub stale: u64,
}

/// A condition's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The condition's place in the policy, as in `any_of[1].error_rate_above`.
    pub path: String,
    /// In the unit of `limit`: a mean score, a rate between 0 and 1, milliseconds, or a count. `None` while the window
    /// is empty.
    pub value: Option<f64>,
    /// The policy's limit.
    pub limit: f64,
    /// Samples in the window; for `consecutive_failures`, the failures in a row.
    pub filled: u32,
    /// The samples that it takes before the condition can hold.
    pub needed: u32,
    /// Whether it holds now.
    pub holds: bool,
}

/// The last opening.
#[derive(Clone, Debug, PartialEq)]
pub struct TripReport {
    /// When.
    pub at: Time,
    /// Why, as data.
    pub reason: TripReason,
    /// Why, in words.
    pub text: String,
}

/// The last failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureReport {
    /// When.
    pub at: Time,
    /// How the call failed.
    pub kind: OutcomeKind,
}

/// A change of state that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Time,
    /// The state that was left.
    pub old: State,
    /// The state that was entered.
    pub new: State,
    /// Why, in words.
    pub text: String,
}

/// All that there is to know of a circuit. Asking changes nothing: an open circuit whose period has passed is still
/// open here, and `would_refuse` is false.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitStatus {
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Time,
    /// The counter that each transition bumps.
    pub generation: u32,
    /// Whether a call would be refused now.
    pub would_refuse: bool,
    /// While open: what is left of the open period.
    pub retry_after: Option<Duration>,
    /// How often it has opened since it was made or last reset, re-openings included.
    pub trip_count: u64,
    /// How often it has opened again since it last closed: the backoff's exponent.
    pub reopen_count: u32,
    /// The last opening.
    pub last_trip: Option<TripReport>,
    /// The last transitions, oldest first, at most 16.
    pub transitions: Vec<Transition>,
    /// Its calls.
    pub totals: Totals,
    /// The last failure.
    pub last_failure: Option<FailureReport>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Successes since the last failure.
    pub consecutive_successes: u32,
    /// Every condition of the policy, in order of appearance.
    pub conditions: Vec<Reading>,
    /// While half-open: probes under way.
    pub live_probes: u32,
    /// While half-open: probes that passed.
    pub passed_probes: u32,
    /// Settled calls in the last 60 s, as far as the policy's `adaptive` tiers count; 0 for a policy without any.
    pub calls_per_minute: u32,
}

impl CircuitStatus {
    pub(crate) fn from_wit(status: wit::CircuitStatus) -> Self {
        let at = Time::from_nanos;
        Self {
            state: State::from_wit(status.state),
            since: at(status.since),
            generation: status.generation,
            would_refuse: status.would_refuse,
            retry_after: status.retry_after.map(Duration::from_nanos),
            trip_count: status.trip_count,
            reopen_count: status.reopen_count,
            last_trip: status.last_trip.map(|trip| TripReport {
                at: at(trip.at),
                reason: trip_reason(trip.reason),
                text: trip.text,
            }),
            transitions: status
                .transitions
                .into_iter()
                .map(|t| Transition {
                    at: at(t.at),
                    old: State::from_wit(t.old),
                    new: State::from_wit(t.new),
                    text: t.text,
                })
                .collect(),
            totals: Totals {
                calls: status.totals.calls,
                successes: status.totals.successes,
                failures: status.totals.failures,
                neutral: status.totals.neutral,
                rejections: status.totals.rejections,
                stale: status.totals.stale,
            },
            last_failure: status
                .last_failure
                .map(|failure| FailureReport { at: at(failure.at), kind: kind_from_wit(failure.kind) }),
            consecutive_failures: status.consecutive_failures,
            consecutive_successes: status.consecutive_successes,
            conditions: status.conditions.into_iter().map(Reading::from_wit).collect(),
            live_probes: status.live_probes,
            passed_probes: status.passed_probes,
            calls_per_minute: status.calls_per_minute,
        }
    }
}

impl Reading {
    fn from_wit(reading: wit::Reading) -> Self {
        Self {
            path: reading.path,
            value: reading.value,
            limit: reading.limit,
            filled: reading.filled,
            needed: reading.needed,
            holds: reading.holds,
        }
    }
}

/// One thing wrong with a policy's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyProblem {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The key, with its path; empty where the text isn't TOML.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// For an unknown key: the nearest that exists.
    pub nearest: Option<String>,
}

impl fmt::Display for PolicyProblem {
    /// `line:column: key: message (did you mean ...?)`, the parts that there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        // The component may have said it in its message already.
        match &self.nearest {
            Some(nearest) if !self.message.contains(nearest.as_str()) => write!(f, " (did you mean `{nearest}`?)"),
            _ => Ok(()),
        }
    }
}

/// What a host needs to know of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Equal for equal meaning: comments, order of keys and spelling of durations don't matter.
    pub fingerprint: u64,
    /// The names of the host's own conditions, each once, in order of appearance.
    pub host_conditions: Vec<String>,
    /// Whether any condition looks at scores: where not, no scorer need run.
    pub uses_scores: bool,
    /// Whether a success without a score is recorded as the policy's `missing_score`.
    pub require_quality_signal: bool,
    /// Bytes of the component's memory that a breaker takes once its windows are full.
    pub breaker_bytes: u64,
}
