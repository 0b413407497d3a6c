//! The state machine: admits or refuses, records, trips and recovers.

mod footprint;
mod half_open;
mod leased;
mod operator;
mod probes;
mod rare;
mod record;
mod saved;
mod status;
mod transition;

pub use leased::{Lease, LeasedBatch, LeasedError, LeasedSettlement};
pub use record::{Effect, RecordError, Settlement};
pub use saved::RestoreError;
pub use status::{FailureReport, Status, Totals, Transition, TripReport};

use crate::condition::{Origin, Tree};
use crate::event::{Event, EventReason, MaybeEvent, State, TripReason};
use crate::load::Load;
use crate::outcome::OutcomeKind;
use crate::permit::Permit;
use crate::policy::Policy;
use crate::time::{Instant, Nanos};
use alloc::{boxed::Box, sync::Arc};
use half_open::HalfOpen;
use rare::Rare;

/// How many transitions a status tells.
pub const TRANSITIONS_MAX: usize = 16;

/// A state with what belongs to it alone.
#[derive(Clone, Debug)]
enum Phase {
    Closed,
    /// In a box, since few are open.
    Open {
        until: Box<Instant>,
    },
    HalfOpen(Box<HalfOpen>),
    ForcedOpen,
    Disabled,
    MetricsOnly,
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen(_) => State::HalfOpen,
            Self::ForcedOpen => State::ForcedOpen,
            Self::Disabled => State::Disabled,
            Self::MetricsOnly => State::MetricsOnly,
        }
    }
}

/// One circuit breaker.
///
/// Times handed in are nanoseconds of the host's clock; one that is earlier than the latest seen counts as the latest.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: Arc<Policy>,
    /// The latest time seen.
    latest: Instant,
    phase: Phase,
    since: Instant,
    generation: u32,
    tree: Tree,
    origin: Origin,
    successes: u64,
    failures: u64,
    last_failure_at: Option<Instant>,
    last_failure_kind: OutcomeKind,
    /// The calls of the streak under way are failures.
    failing: bool,
    /// Failures or successes in a row.
    streak: u32,
    rare: Option<Box<Rare>>,
}

/// A call may be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// What the call settles.
    pub permit: Permit,
    /// The change of state that asking brought about.
    pub event: MaybeEvent,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rejection<'a> {
    /// Open, half-open or forced open.
    pub state: State,
    /// Exact while open, none otherwise.
    pub retry_after: Option<Nanos>,
    /// How often the circuit has opened since it was made or reset.
    pub trip_count: u64,
    /// Why it last opened.
    pub reason: Option<&'a TripReason>,
}

/// Where a permit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its outcome would be recorded.
    Current,
    /// Its outcome would be a probe's.
    Probe,
    /// Its outcome would change totals only.
    Stale,
    /// It was never given out.
    Unknown,
}

impl Breaker {
    /// A closed breaker. `name` and `salt` seed its jitter.
    pub fn new(policy: Arc<Policy>, name: &str, salt: u64, now: Nanos) -> Self {
        let now = Instant::from_host(now);
        let jitter_seed = if policy.backoff.jitter == 0.0 { 0 } else { policy.backoff.breaker_seed(name, salt) };
        let load = (!policy.adaptive.is_empty()).then(Load::default);
        Self {
            latest: now,
            phase: Phase::Closed,
            since: now,
            generation: 0,
            tree: Tree::new(&policy.leaves),
            origin: Origin::new(&policy.leaves, None),
            successes: 0,
            failures: 0,
            last_failure_at: None,
            last_failure_kind: OutcomeKind::Success,
            failing: false,
            streak: 0,
            rare: Rare { load, jitter_seed, ..Rare::default() }.kept(),
            policy,
        }
    }

    /// Its policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Its state. An open circuit whose period has passed is still open, until a call asks.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// Asks for a permit. This alone moves an open circuit whose period has passed to half-open.
    ///
    /// # Errors
    /// A refusal, which is no error but what the breaker is for. It is counted.
    pub fn before_call(&mut self, now: Nanos) -> Result<Admission, Rejection<'_>> {
        let now = self.see(now);
        let event = match &self.phase {
            Phase::Open { until } if now >= **until => Some(self.half_open(now)),
            _ => None,
        };
        let permit = match &mut self.phase {
            Phase::Closed | Phase::Disabled | Phase::MetricsOnly => Some(Permit::of_generation(self.generation)),
            Phase::HalfOpen(half_open) => {
                let probe = half_open.admit(&self.policy, now);
                probe.map(|probe| Permit::of_probe(self.generation, probe))
            }
            Phase::Open { .. } | Phase::ForcedOpen => None,
        };
        match permit {
            Some(permit) => Ok(Admission { permit, event }),
            None => {
                self.count_rejections(1);
                Err(self.rejection(now))
            }
        }
    }

    /// Whether a call would be refused now, and how. It takes no probe and counts nothing.
    pub fn would_refuse(&self, now: Nanos) -> Option<Rejection<'_>> {
        let now = self.peek(now);
        let refuses = match &self.phase {
            Phase::Closed | Phase::Disabled | Phase::MetricsOnly => false,
            Phase::Open { until } => now < **until,
            Phase::HalfOpen(half_open) => !half_open.has_room(&self.policy, now),
            Phase::ForcedOpen => true,
        };
        refuses.then(|| self.rejection(now))
    }

    /// Where a permit stands.
    pub fn permit_standing(&self, permit: Permit, now: Nanos) -> Standing {
        self.standing(permit, self.peek(now))
    }

    fn rejection(&self, now: Instant) -> Rejection<'_> {
        let retry_after = match &self.phase {
            Phase::Open { until } => Some(until.since(now)),
            _ => None,
        };
        Rejection {
            state: self.state(),
            retry_after,
            trip_count: self.trip_count(),
            reason: self.last_trip().map(|(_, reason)| &**reason),
        }
    }

    fn standing(&self, permit: Permit, now: Instant) -> Standing {
        if permit.generation() > self.generation {
            return Standing::Unknown;
        }
        if permit.generation() < self.generation {
            return Standing::Stale;
        }
        match &self.phase {
            Phase::HalfOpen(half_open) => half_open.standing(permit.probe(), now),
            // No permit is given in these.
            Phase::Open { .. } | Phase::ForcedOpen => Standing::Unknown,
            _ if permit.probe() != 0 => Standing::Unknown,
            _ => Standing::Current,
        }
    }

    /// The time, never backwards.
    fn see(&mut self, now: Nanos) -> Instant {
        self.latest = self.peek(now);
        self.latest
    }

    fn peek(&self, now: Nanos) -> Instant {
        self.latest.max(Instant::from_host(now))
    }

    /// The limit of `consecutive_failures` that the load asks for, where it asks for one.
    fn failures_limit(&self, now: Instant) -> Option<u32> {
        self.tier(now).and_then(|tier| tier.consecutive_failures)
    }

    fn tier(&self, now: Instant) -> Option<&crate::load::Tier> {
        self.load().and_then(|load| load.tier(&self.policy.adaptive, now))
    }

    fn event(&self, at: Instant, old: State, reason: EventReason) -> Box<Event> {
        let open_until = match &self.phase {
            Phase::Open { until } => Some(**until),
            _ => None,
        };
        let (new, generation, trip_count) = (self.state(), self.generation, self.trip_count());
        Box::new(Event { at, old, new, reason, generation, trip_count, open_until })
    }

    fn count_failure(&mut self, kind: OutcomeKind, at: Instant) {
        (self.last_failure_at, self.last_failure_kind) = (Some(at), kind);
        self.streak = if self.failing { self.streak.saturating_add(1) } else { 1 };
        self.failing = true;
    }

    fn count_successes(&mut self, successes: u32) {
        self.streak = if self.failing { successes } else { self.streak.saturating_add(successes) };
        self.failing = false;
    }

    fn last_failure(&self) -> Option<FailureReport> {
        self.last_failure_at.map(|at| FailureReport { at, kind: self.last_failure_kind })
    }

    fn consecutive_failures(&self) -> u32 {
        if self.failing { self.streak } else { 0 }
    }

    fn consecutive_successes(&self) -> u32 {
        if self.failing { 0 } else { self.streak }
    }
}
