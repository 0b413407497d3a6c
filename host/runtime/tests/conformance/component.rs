//! The breaker component as a subject, called eagerly through the contract and nothing else.

use softfuse_testkit::seen;
use softfuse_testkit::{CauseSeen, Ending, EventSeen, ReadingSeen, Seen, SignalIn, StatusSeen, Subject, TripSeen};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit/breaker", world: "circuit-breaker" });
}

use bindings::CircuitBreaker;
use bindings::exports::softfuse::breaker::breaker as wit;

/// An instance of the component.
pub(crate) struct Instance {
    store: Store<()>,
    world: CircuitBreaker,
}

impl Instance {
    pub(crate) fn new() -> Self {
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::new(&engine, softfuse::components::BREAKER).expect("the embedded component");
        let mut store = Store::new(&engine, ());
        // An empty linker: it imports nothing.
        let world = CircuitBreaker::instantiate(&mut store, &component, &Linker::new(&engine)).expect("an instance");
        Self { store, world }
    }

    /// A breaker of a policy, named `test`, salt 0, made at 0.
    pub(crate) fn breaker(&mut self, policy: &str) -> Eager<'_> {
        let guest = self.world.softfuse_breaker_breaker();
        let loaded = guest.call_load_policy(&mut self.store, policy).expect("no trap");
        let info = loaded.expect("a good policy");
        let made = guest.call_create(&mut self.store, info.id, "test", 0, 0).expect("no trap");
        let breaker = made.expect("a breaker");
        Eager { instance: self, policy: info.id, breaker }
    }

    pub(crate) fn problems(&mut self, policy: &str) -> Vec<softfuse_testkit::policies::Found> {
        let loaded = self.world.softfuse_breaker_breaker().call_load_policy(&mut self.store, policy).expect("no trap");
        let problems = loaded.err().unwrap_or_default();
        problems.into_iter().map(|p| (p.line, p.column, p.key, p.message, p.nearest)).collect()
    }
}

/// One of its breakers.
pub(crate) struct Eager<'a> {
    instance: &'a mut Instance,
    policy: u32,
    breaker: u32,
}

impl Drop for Eager<'_> {
    fn drop(&mut self) {
        let Instance { store, world } = &mut *self.instance;
        let guest = world.softfuse_breaker_breaker();
        guest.call_drop_breaker(&mut *store, self.breaker).expect("no trap");
        guest.call_drop_policy(store, self.policy).expect("no trap");
    }
}

impl Eager<'_> {
    fn call<R>(&mut self, call: impl FnOnce(&wit::Guest, &mut Store<()>, u32) -> wasmtime::Result<R>) -> R {
        let Instance { store, world } = &mut *self.instance;
        call(world.softfuse_breaker_breaker(), store, self.breaker).expect("no trap")
    }
}

fn kind(name: &str) -> wit::OutcomeKind {
    match name {
        "success" => wit::OutcomeKind::Success,
        "error" => wit::OutcomeKind::Error,
        "timeout" => wit::OutcomeKind::Timeout,
        "rate-limited" => wit::OutcomeKind::RateLimited,
        "overloaded" => wit::OutcomeKind::Overloaded,
        "cancelled" => wit::OutcomeKind::Cancelled,
        "content-policy" => wit::OutcomeKind::ContentPolicy,
        "bad-request" => wit::OutcomeKind::BadRequest,
        other => panic!("{other} is no kind"),
    }
}

fn kind_name(kind: wit::OutcomeKind) -> String {
    let of = |name: &&&str| self::kind(name) == kind;
    softfuse_testkit::KINDS.iter().find(of).expect("KINDS are the contract's").to_string()
}

fn state(state: wit::State) -> String {
    match state {
        wit::State::Closed => "closed",
        wit::State::Open => "open",
        wit::State::HalfOpen => "half-open",
        wit::State::ForcedOpen => "forced-open",
        wit::State::Disabled => "disabled",
        wit::State::MetricsOnly => "metrics-only",
    }
    .to_string()
}

fn rejection(rejection: wit::Rejection) -> Seen {
    Seen {
        admitted: Some(false),
        state: Some(state(rejection.state)),
        retry_after_ns: rejection.retry_after,
        trip_count: Some(rejection.trip_count),
        reason: rejection.reason,
        ..Seen::default()
    }
}

fn settled(settled: Result<wit::Settlement, wit::RecordError>) -> Seen {
    match settled {
        Ok(settlement) => {
            let effect = match settlement.effect {
                wit::Effect::Recorded => "recorded",
                wit::Effect::Probed => "probed",
                wit::Effect::Ignored => "ignored",
                wit::Effect::Stale => "stale",
                wit::Effect::Pending => "pending",
            };
            Seen { effect: Some(effect.into()), event: settlement.event.map(event), ..Seen::default() }
        }
        Err(error) => {
            let error = match error {
                wit::RecordError::UnknownBreaker => "unknown-breaker",
                wit::RecordError::UnknownPermit => "unknown-permit",
                wit::RecordError::Stale => "stale",
                wit::RecordError::InvalidScore(_) => "invalid-score",
                wit::RecordError::InvalidVerdicts(_) => "invalid-verdicts",
                wit::RecordError::Other(_) => "other",
            };
            Seen { error: Some(error.into()), ..Seen::default() }
        }
    }
}

fn event(event: wit::Event) -> EventSeen {
    let (kind, reason) = match event.reason {
        wit::EventReason::Tripped(reason) => ("tripped", Some(reason)),
        wit::EventReason::WouldHaveTripped(reason) => ("would-have-tripped", Some(reason)),
        wit::EventReason::OpenPeriodOver => ("open-period-over", None),
        wit::EventReason::Recovered => ("recovered", None),
        wit::EventReason::Reset => ("reset", None),
        wit::EventReason::Operator => ("operator", None),
    };
    EventSeen {
        at_ns: event.at,
        old: state(event.old),
        new: state(event.new),
        generation: event.generation,
        trip_count: event.trip_count,
        open_until_ns: event.open_until,
        ..EventSeen::of(kind, reason.map(trip))
    }
}

fn trip(reason: wit::TripReason) -> TripSeen {
    let causes = |causes: Vec<wit::Cause>| causes.into_iter().map(cause).collect();
    match reason {
        wit::TripReason::Conditions(found) => TripSeen::Conditions(causes(found)),
        wit::TripReason::ProbeConditions(found) => TripSeen::ProbeConditions(causes(found)),
        wit::TripReason::ProbeFailed(kind) => TripSeen::ProbeFailed(kind_name(kind)),
        wit::TripReason::Host(reason) => TripSeen::Host(reason),
    }
}

fn cause(wit::Cause { path, value, limit, text }: wit::Cause) -> CauseSeen {
    CauseSeen { path, value, limit, text }
}

fn status(status: wit::CircuitStatus) -> StatusSeen {
    let transition = |t: wit::Transition| seen::transition(&state(t.old), &state(t.new), t.at, &t.text);
    let reading = |r: wit::Reading| ReadingSeen {
        path: r.path,
        value: r.value,
        limit: r.limit,
        filled: r.filled,
        needed: r.needed,
        holds: r.holds,
    };
    StatusSeen {
        state: state(status.state),
        since_ns: status.since,
        generation: status.generation,
        would_refuse: status.would_refuse,
        retry_after_ns: status.retry_after,
        trip_count: status.trip_count,
        reopen_count: status.reopen_count,
        last_trip_at_ns: status.last_trip.as_ref().map(|trip| trip.at),
        last_trip: status.last_trip.map(|trip| trip.text),
        transitions: status.transitions.into_iter().map(transition).collect(),
        calls: status.totals.calls,
        successes: status.totals.successes,
        failures: status.totals.failures,
        neutral: status.totals.neutral,
        rejections: status.totals.rejections,
        stale: status.totals.stale,
        last_failure_at_ns: status.last_failure.map(|failure| failure.at),
        last_failure: status.last_failure.map(|failure| kind_name(failure.kind)),
        consecutive_failures: status.consecutive_failures,
        consecutive_successes: status.consecutive_successes,
        conditions: status.conditions.into_iter().map(reading).collect(),
        live_probes: status.live_probes,
        passed_probes: status.passed_probes,
        calls_per_minute: status.calls_per_minute,
    }
}

impl Subject for Eager<'_> {
    fn before(&mut self, now: u64) -> Seen {
        match self.call(|guest, store, id| guest.call_before_call(store, id, now)) {
            Ok(admission) => Seen {
                admitted: Some(true),
                permit: Some(admission.permit),
                event: admission.event.map(event),
                ..Seen::default()
            },
            Err(wit::Refusal::Rejected(refused)) => rejection(refused),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn settle(&mut self, permit: u64, ending: &Ending, now: u64) -> Seen {
        let outcome = wit::Outcome {
            kind: kind(ending.kind),
            latency: ending.latency,
            signal: match ending.signal {
                SignalIn::None => wit::Signal::None,
                SignalIn::Score(score) => wit::Signal::Score(score),
                SignalIn::Pending => wit::Signal::Pending,
            },
            retry_after: ending.retry_after,
        };
        settled(self.call(|guest, store, id| match &ending.verdicts[..] {
            [] => guest.call_record_outcome(store, id, permit, outcome, now),
            verdicts => guest.call_record_judged_outcome(store, id, permit, outcome, verdicts, now),
        }))
    }

    fn report(&mut self, permit: u64, score: Option<f64>, now: u64) -> Seen {
        let report = score.map_or(wit::QualityReport::Missing, wit::QualityReport::Score);
        settled(self.call(|guest, store, id| guest.call_report_quality(store, id, permit, report, now)))
    }

    fn would_refuse(&mut self, now: u64) -> Seen {
        match self.call(|guest, store, id| guest.call_would_refuse(store, id, now)) {
            None => Seen { admitted: Some(true), ..Seen::default() },
            Some(refused) => rejection(refused),
        }
    }

    fn status(&mut self, now: u64) -> StatusSeen {
        status(self.call(|guest, store, id| guest.call_status(store, id, now)).expect("a known breaker"))
    }

    fn reset(&mut self, now: u64) -> Seen {
        let changed = self.call(|guest, store, id| guest.call_reset(store, id, now));
        Seen { event: changed.map(event), ..Seen::default() }
    }

    fn operator(&mut self, name: &str, now: u64) -> Seen {
        let state = match name {
            "forced-open" => wit::OperatorState::ForcedOpen,
            "disabled" => wit::OperatorState::Disabled,
            "metrics-only" => wit::OperatorState::MetricsOnly,
            other => panic!("{other} is no operator's state"),
        };
        let changed = self.call(|guest, store, id| guest.call_set_operator_state(store, id, state, now));
        Seen { event: changed.map(event), ..Seen::default() }
    }

    fn trip(&mut self, reason: &str, open_for: Option<u64>, now: u64) -> Seen {
        let changed = self.call(|guest, store, id| guest.call_trip(store, id, reason, open_for, now));
        Seen { event: changed.map(event), ..Seen::default() }
    }

    fn reincarnate(&mut self, now: u64, then: u64, away: u64) {
        let bytes = self.call(|guest, store, id| guest.call_snapshot(store, id, now)).expect("a known breaker");
        let policy = self.policy;
        let restored = self.call(|guest, store, _| guest.call_restore(store, policy, &bytes, then, away));
        self.call(|guest, store, id| guest.call_drop_breaker(store, id));
        self.breaker = restored.expect("a snapshot of the same policy");
    }
}
