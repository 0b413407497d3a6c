//! The Rust host as a subject, through the API that its users call.

use softfuse::{
    Breaker, CallRecord, Condition, Conditions, Effect, Event, EventReason, LateScores, ManualClock, OperatorState,
    Outcome, OutcomeKind, Permit, Policy, PolicyError, Registry, Rejected, Score, StateChange, Subscription, Time,
    TripReason,
};
use softfuse_testkit::disciplined::{gone, invalid_score, kept};
use softfuse_testkit::seen;
use softfuse_testkit::{CauseSeen, Ending, EventSeen, ReadingSeen, Seen, SignalIn, StatusSeen, Subject, TripSeen};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NAME: &str = "test";

/// What the host's own conditions say next, by their place in the policy.
type Script = Arc<Mutex<Vec<Option<String>>>>;

struct Scripted {
    script: Script,
    place: usize,
}

impl Condition for Scripted {
    fn record(&mut self, _: &CallRecord) -> Option<String> {
        self.script.lock().expect("no panics").get(self.place).cloned().flatten()
    }

    fn reset(&mut self) {}
}

enum Held {
    Permit(Permit<'static>),
    Late(LateScores<'static>),
}

/// A breaker of a registry.
pub(crate) struct Host<'r> {
    registry: &'r Registry,
    policy: Policy,
    breaker: Breaker,
    permits: BTreeMap<u64, Held>,
    given: u64,
    script: Script,
    events: Subscription,
}

/// A registry whose clock is never read: the tests hand the time in. Its breakers are leased from the first call on, or never.
pub(crate) fn registry(leased: bool) -> Registry {
    let lease_after = if leased { 0 } else { u32::MAX };
    let registry = Registry::builder().clock(ManualClock::new(Time::ZERO)).salt(0).lease_after(lease_after).build();
    registry.expect("the embedded component")
}

pub(crate) fn problems(registry: &Registry, text: &str) -> Vec<softfuse_testkit::policies::Found> {
    match registry.policy("policies.toml", text) {
        Err(PolicyError::Invalid { problems, .. }) => {
            problems.into_iter().map(|p| (p.line, p.column, p.key, p.message, p.nearest)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn time(nanos: u64) -> Time {
    Time::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

impl<'r> Host<'r> {
    pub(crate) fn new(registry: &'r Registry, policy: &str) -> Self {
        let policy = registry.policy("test.toml", policy).expect("a good policy");
        let script = Script::default();
        registry.remove(NAME);
        let breaker = registry.breaker_with(NAME, &policy, conditions(&policy, &script)).expect("a breaker");
        // A breaker takes its seat in the component when it is first asked: at 0, as the others are made.
        breaker.status_at(Time::ZERO).expect("no component failure");
        Self { registry, policy, breaker, permits: BTreeMap::new(), given: 0, script, events: registry.subscribe() }
    }
}

fn conditions(policy: &Policy, script: &Script) -> Conditions {
    let named = policy.info().host_conditions.iter().enumerate();
    named
        .map(|(place, name)| (name.clone(), Box::new(Scripted { script: script.clone(), place }) as Box<dyn Condition>))
        .collect()
}

fn rejection(rejected: Rejected) -> Seen {
    assert_eq!(rejected.component_failure, None);
    Seen {
        admitted: Some(false),
        state: Some(rejected.state.as_str().into()),
        retry_after_ns: rejected.retry_after().map(nanos),
        trip_count: Some(rejected.trip_count),
        reason: rejected.reason.as_deref().map(str::to_owned),
        ..Seen::default()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).expect("spans are at most 2^64 ns")
}

fn effect(effect: Effect) -> Option<String> {
    let name = match effect {
        Effect::Recorded => "recorded",
        Effect::Probed => "probed",
        Effect::Ignored => "ignored",
        Effect::Stale => "stale",
        Effect::Pending => "pending",
        Effect::Lost => "lost",
    };
    Some(name.into())
}

fn event(change: StateChange) -> EventSeen {
    let (kind, reason) = match change.reason {
        EventReason::Tripped(reason) => ("tripped", Some(reason)),
        EventReason::WouldHaveTripped(reason) => ("would-have-tripped", Some(reason)),
        EventReason::OpenPeriodOver => ("open-period-over", None),
        EventReason::Recovered => ("recovered", None),
        EventReason::Reset => ("reset", None),
        EventReason::Operator => ("operator", None),
    };
    EventSeen {
        at_ns: change.at.as_nanos(),
        old: change.old.as_str().into(),
        new: change.new.as_str().into(),
        generation: change.generation,
        trip_count: change.trip_count,
        open_until_ns: change.open_until.map(Time::as_nanos),
        ..EventSeen::of(kind, reason.map(trip))
    }
}

fn trip(reason: TripReason) -> TripSeen {
    let cause = |cause: softfuse::Cause| CauseSeen {
        path: cause.path,
        value: cause.value,
        limit: cause.limit,
        text: cause.text,
    };
    let causes = |causes: Vec<softfuse::Cause>| causes.into_iter().map(cause).collect();
    match reason {
        TripReason::Conditions(found) => TripSeen::Conditions(causes(found)),
        TripReason::ProbeConditions(found) => TripSeen::ProbeConditions(causes(found)),
        TripReason::ProbeFailed(kind) => TripSeen::ProbeFailed(kind.as_str().into()),
        TripReason::Host(reason) => TripSeen::Host(reason),
    }
}

impl Subject for Host<'_> {
    fn before(&mut self, now: u64) -> Seen {
        // The change of state that a permit brings about comes as an event of the registry.
        while self.events.try_next().is_some() {}
        let permit = self.breaker.permit_at(time(now));
        let change = std::iter::from_fn(|| self.events.try_next()).find_map(|event| match event {
            Event::StateChanged { change, .. } => Some(change),
            _ => None,
        });
        match permit {
            Ok(permit) => {
                assert!(permit.is_guarded());
                self.given += 1;
                self.permits.insert(self.given, Held::Permit(permit.into_owned()));
                let event = change.map(event);
                Seen { admitted: Some(true), permit: Some(self.given), event, ..Seen::default() }
            }
            Err(rejected) => rejection(rejected),
        }
    }

    fn settle(&mut self, permit: u64, ending: &Ending, now: u64) -> Seen {
        let Some(Held::Permit(_)) = self.permits.get(&permit) else { return gone() };
        let kind = OutcomeKind::ALL.into_iter().find(|kind| kind.as_str() == ending.kind).expect("a kind");
        let mut outcome = Outcome::new(kind).with_latency(Duration::from_nanos(ending.latency));
        match ending.signal {
            SignalIn::None => {}
            SignalIn::Pending => outcome = outcome.with_pending_score(),
            SignalIn::Score(score) => match Score::new(score) {
                Ok(score) => outcome = outcome.with_score(score),
                Err(_) => return invalid_score(),
            },
        }
        if let Some(retry_after) = ending.retry_after {
            outcome = outcome.with_retry_after(Duration::from_nanos(retry_after));
        }
        self.script.lock().expect("no panics").clone_from(&ending.verdicts);
        let Some(Held::Permit(value)) = self.permits.remove(&permit) else { return gone() };
        let settled = value.settle_at(outcome, time(now));
        self.permits.insert(permit, Held::Late(settled.late.into_owned()));
        Seen { effect: effect(settled.effect), event: settled.change.map(|change| event(*change)), ..Seen::default() }
    }

    fn report(&mut self, permit: u64, score: Option<f64>, now: u64) -> Seen {
        let reported = match (self.permits.get_mut(&permit), score) {
            (None, _) => return gone(),
            (Some(Held::Permit(_)), None) => return kept(),
            (Some(Held::Permit(permit)), Some(score)) => {
                return if permit.report_quality(score).is_ok() { kept() } else { invalid_score() };
            }
            (Some(Held::Late(late)), None) => Ok(late.report_missing_at(time(now))),
            (Some(Held::Late(late)), Some(score)) => late.report_quality_at(score, time(now)),
        };
        match reported {
            Ok((found, change)) => {
                Seen { effect: effect(found), event: change.map(|change| event(*change)), ..Seen::default() }
            }
            Err(_) => invalid_score(),
        }
    }

    fn would_refuse(&mut self, now: u64) -> Seen {
        match self.breaker.would_refuse_at(time(now)) {
            None => Seen { admitted: Some(true), ..Seen::default() },
            Some(rejected) => rejection(rejected),
        }
    }

    fn status(&mut self, now: u64) -> StatusSeen {
        let status = self.breaker.status_at(time(now)).expect("no component failure");
        let transition =
            |t: softfuse::Transition| seen::transition(t.old.as_str(), t.new.as_str(), t.at.as_nanos(), &t.text);
        let reading = |r: softfuse::Reading| ReadingSeen {
            path: r.path,
            value: r.value,
            limit: r.limit,
            filled: r.filled,
            needed: r.needed,
            holds: r.holds,
        };
        StatusSeen {
            state: status.state.as_str().into(),
            since_ns: status.since.as_nanos(),
            generation: status.generation,
            would_refuse: status.would_refuse,
            retry_after_ns: status.retry_after.map(nanos),
            trip_count: status.trip_count,
            reopen_count: status.reopen_count,
            last_trip_at_ns: status.last_trip.as_ref().map(|trip| trip.at.as_nanos()),
            last_trip: status.last_trip.map(|trip| trip.text),
            transitions: status.transitions.into_iter().map(transition).collect(),
            calls: status.totals.calls,
            successes: status.totals.successes,
            failures: status.totals.failures,
            neutral: status.totals.neutral,
            rejections: status.totals.rejections,
            stale: status.totals.stale,
            last_failure_at_ns: status.last_failure.as_ref().map(|failure| failure.at.as_nanos()),
            last_failure: status.last_failure.map(|failure| failure.kind.as_str().into()),
            consecutive_failures: status.consecutive_failures,
            consecutive_successes: status.consecutive_successes,
            conditions: status.conditions.into_iter().map(reading).collect(),
            live_probes: status.live_probes,
            passed_probes: status.passed_probes,
            calls_per_minute: status.calls_per_minute,
        }
    }

    fn reset(&mut self, now: u64) -> Seen {
        let changed = self.breaker.reset_at(time(now)).expect("no component failure");
        Seen { event: changed.map(event), ..Seen::default() }
    }

    fn operator(&mut self, name: &str, now: u64) -> Seen {
        let state = match name {
            "forced-open" => OperatorState::ForcedOpen,
            "disabled" => OperatorState::Disabled,
            "metrics-only" => OperatorState::MetricsOnly,
            other => panic!("{other} is no operator's state"),
        };
        let changed = self.breaker.set_operator_state_at(state, time(now)).expect("no component failure");
        Seen { event: changed.map(event), ..Seen::default() }
    }

    fn trip(&mut self, reason: &str, open_for: Option<u64>, now: u64) -> Seen {
        let open_for = open_for.map(Duration::from_nanos);
        let changed = self.breaker.trip_at(reason, open_for, time(now)).expect("no component failure");
        Seen { event: changed.map(event), ..Seen::default() }
    }

    /// As a process that ends, and another that restores what it saved: its permits are gone.
    fn reincarnate(&mut self, now: u64, then: u64, away: u64) {
        let bytes = self.breaker.snapshot_at(time(now)).expect("no component failure");
        self.permits.clear();
        self.registry.remove(NAME);
        let conditions = conditions(&self.policy, &self.script);
        let away = Duration::from_nanos(away);
        let restored = self.registry.restore_at(NAME, &self.policy, conditions, &bytes, away, time(then));
        self.breaker = restored.expect("its own snapshot");
    }
}
