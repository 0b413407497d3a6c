//! What a subject is seen to do, as plain data.

use serde::Serialize;

/// What an operation answered. What doesn't belong to the operation is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Seen {
    /// Of `before-call`: whether there was a permit. Of `would-refuse`: whether there would be one.
    pub admitted: Option<bool>,
    /// The permit, as a number.
    pub permit: Option<u64>,
    /// A rejection's state.
    pub state: Option<String>,
    /// A rejection's wait that is left.
    pub retry_after_ns: Option<u64>,
    /// A rejection's trip count.
    pub trip_count: Option<u64>,
    /// A rejection's reason.
    pub reason: Option<String>,
    /// What became of an outcome or a late score.
    pub effect: Option<String>,
    /// Why nothing was taken.
    pub error: Option<String>,
    /// The change of state.
    pub event: Option<EventSeen>,
}

/// A change of state. [`EventSeen::of`] makes its reason's part, the subject the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EventSeen {
    /// When.
    pub at_ns: i64,
    /// The state before.
    pub old: String,
    /// The state after.
    pub new: String,
    /// The reason's case: `tripped`, `would-have-tripped`, `open-period-over`, `recovered`, `reset`, `operator`.
    pub kind: String,
    /// Of a trip: the reason's case, `conditions`, `probe-failed`, `probe-conditions`, `host`.
    pub trip: Option<String>,
    /// Of a trip by conditions: their paths.
    pub paths: Vec<String>,
    /// Of a trip by conditions: their measured values.
    pub values: Vec<f64>,
    /// Of a trip by conditions: their limits.
    pub limits: Vec<f64>,
    /// Of a trip by conditions: their texts; of one by a probe or the host, its kind or reason.
    pub texts: Vec<String>,
    /// The generation that begins.
    pub generation: u32,
    /// How often the circuit has opened.
    pub trip_count: u64,
    /// When the open period ends.
    pub open_until_ns: Option<i64>,
}

impl EventSeen {
    /// The part of a change of state that its reason tells: the reason's case, and the trip, where it was one.
    pub fn of(kind: &str, trip: Option<TripSeen>) -> Self {
        let (case, causes, text) = match trip {
            None => (None, Vec::new(), None),
            Some(TripSeen::Conditions(causes)) => (Some("conditions"), causes, None),
            Some(TripSeen::ProbeConditions(causes)) => (Some("probe-conditions"), causes, None),
            Some(TripSeen::ProbeFailed(kind)) => (Some("probe-failed"), Vec::new(), Some(kind)),
            Some(TripSeen::Host(reason)) => (Some("host"), Vec::new(), Some(reason)),
        };
        Self {
            kind: kind.to_owned(),
            trip: case.map(ToOwned::to_owned),
            paths: causes.iter().map(|cause| cause.path.clone()).collect(),
            values: causes.iter().map(|cause| cause.value).collect(),
            limits: causes.iter().map(|cause| cause.limit).collect(),
            texts: text.into_iter().chain(causes.into_iter().map(|cause| cause.text)).collect(),
            ..Self::default()
        }
    }
}

/// Why a circuit tripped.
#[derive(Clone, Debug, PartialEq)]
pub enum TripSeen {
    /// Its conditions held.
    Conditions(Vec<CauseSeen>),
    /// They held for a probe, or for all probes together.
    ProbeConditions(Vec<CauseSeen>),
    /// A probe ended in a failure of this kind.
    ProbeFailed(String),
    /// The host's reason.
    Host(String),
}

/// One condition's part in a trip.
#[derive(Clone, Debug, PartialEq)]
pub struct CauseSeen {
    /// Its place in the policy.
    pub path: String,
    /// What it measured.
    pub value: f64,
    /// Its limit.
    pub limit: f64,
    /// Both, in words.
    pub text: String,
}

/// A transition as [`StatusSeen::transitions`] lists it.
pub fn transition(old: &str, new: &str, at_ns: i64, text: &str) -> String {
    format!("{old} -> {new} at {at_ns}: {text}")
}

/// A condition's state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadingSeen {
    /// Its place in the policy.
    pub path: String,
    /// What it measures.
    pub value: Option<f64>,
    /// Its limit.
    pub limit: f64,
    /// Samples in its window.
    pub filled: u32,
    /// Samples that it takes to hold.
    pub needed: u32,
    /// Whether it holds.
    pub holds: bool,
}

/// A status.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusSeen {
    /// The state.
    pub state: String,
    /// Since when.
    pub since_ns: i64,
    /// The generation.
    pub generation: u32,
    /// Whether a call would be refused.
    pub would_refuse: bool,
    /// What is left of the open period.
    pub retry_after_ns: Option<u64>,
    /// How often it has opened.
    pub trip_count: u64,
    /// How often it has opened again since it last closed.
    pub reopen_count: u32,
    /// When it last opened.
    pub last_trip_at_ns: Option<i64>,
    /// Why it last opened, in words.
    pub last_trip: Option<String>,
    /// The last transitions, as in `closed -> open at 5: why`.
    pub transitions: Vec<String>,
    /// Settled calls.
    pub calls: u64,
    /// Of them: successes.
    pub successes: u64,
    /// Of them: failures.
    pub failures: u64,
    /// Of them: neutral ones.
    pub neutral: u64,
    /// Refused calls.
    pub rejections: u64,
    /// Of the settled calls: those that came too late.
    pub stale: u64,
    /// The last failure's time.
    pub last_failure_at_ns: Option<i64>,
    /// The last failure's kind.
    pub last_failure: Option<String>,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Successes in a row.
    pub consecutive_successes: u32,
    /// Every condition.
    pub conditions: Vec<ReadingSeen>,
    /// Probes under way.
    pub live_probes: u32,
    /// Probes that passed.
    pub passed_probes: u32,
    /// Settled calls in the last minute.
    pub calls_per_minute: u32,
}
