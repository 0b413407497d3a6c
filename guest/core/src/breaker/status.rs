//! All that there is to know of a circuit, for people, pages and metrics. Asking changes nothing.

use super::{Breaker, Phase};
use crate::condition::Reading;
use crate::event::{State, TripReason};
use crate::outcome::OutcomeKind;
use crate::time::{Instant, Nanos};
use alloc::{string::String, sync::Arc, vec::Vec};
use serde::{Deserialize, Serialize};

/// The circuit's calls, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Calls that succeeded, stale ones included.
    pub successes: u64,
    /// Calls that failed, stale ones included.
    pub failures: u64,
    /// Calls that counted neither way, stale ones included.
    pub neutral: u64,
    /// Calls that were refused.
    pub rejections: u64,
    /// Calls that were settled too late to count.
    pub stale: u64,
}

impl Totals {
    /// Calls that were settled.
    pub fn calls(&self) -> u64 {
        self.successes.saturating_add(self.failures).saturating_add(self.neutral)
    }
}

/// The last opening.
#[derive(Clone, Debug, PartialEq)]
pub struct TripReport {
    /// When.
    pub at: Instant,
    /// Why.
    pub reason: Arc<TripReason>,
}

/// The last failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureReport {
    /// When it was recorded.
    pub at: Instant,
    /// Its kind.
    pub kind: OutcomeKind,
}

/// A change of state that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// The state before.
    pub old: State,
    /// The state after.
    pub new: State,
    /// Why, in words.
    pub text: String,
}

/// All that there is to know of a circuit.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// The generation that permits are given in now.
    pub generation: u32,
    /// Whether a call would be refused now.
    pub would_refuse: bool,
    /// While open: what is left of the open period.
    pub retry_after: Option<Nanos>,
    /// How often it has opened since it was made or reset, re-openings included.
    pub trip_count: u64,
    /// How often it has opened again since it last closed.
    pub reopen_count: u32,
    /// The last opening.
    pub last_trip: Option<TripReport>,
    /// The last transitions, oldest first.
    pub transitions: Vec<Transition>,
    /// The circuit's calls.
    pub totals: Totals,
    /// The last failure that counted.
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
    /// Settled calls in the last 60 s, as far as the policy's tiers need them.
    pub calls_per_minute: u32,
}

impl Breaker {
    /// All that there is to know at `now`.
    pub fn status(&self, now: Nanos) -> Status {
        let would_refuse = self.would_refuse(now).is_some();
        let now = self.peek(now);
        let failures = self.failures_limit(now);
        let readings = self.policy.leaves.iter().zip(&self.tree.states);
        let transitions = self.rare.as_ref().map(|rare| rare.transitions.iter().cloned().collect());
        // Both are at most PROBES_MAX.
        let (live_probes, passed_probes) = match &self.phase {
            Phase::HalfOpen(half_open) => (half_open.live_at(now) as u32, half_open.passed.len() as u32),
            _ => (0, 0),
        };
        Status {
            state: self.state(),
            since: self.since,
            generation: self.generation,
            would_refuse,
            retry_after: self.rejection(now).retry_after,
            trip_count: self.trip_count(),
            reopen_count: self.reopen_count(),
            last_trip: self.last_trip().map(|(at, reason)| TripReport { at: *at, reason: reason.clone() }),
            transitions: transitions.unwrap_or_default(),
            totals: self.totals(),
            last_failure: self.last_failure(),
            consecutive_failures: self.consecutive_failures(),
            consecutive_successes: self.consecutive_successes(),
            conditions: readings.map(|(leaf, state)| state.reading(leaf, failures)).collect(),
            live_probes,
            passed_probes,
            calls_per_minute: self.load().map_or(0, |load| load.calls_per_minute(now)),
        }
    }
}
