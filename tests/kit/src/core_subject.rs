//! The native core as a subject.

use crate::seen;
use crate::{CauseSeen, Ending, EventSeen, ReadingSeen, Seen, SignalIn, StatusSeen, Subject, TripSeen};
use softfuse_core::{
    Breaker, Cause, Effect, Event, EventReason, OperatorState, Outcome, OutcomeKind, Permit, Policy, QualityReport,
    RecordError, Rejection, Settlement, Signal, State, TripReason,
};
use std::sync::Arc;

/// The native core.
#[derive(Clone)]
pub struct CoreSubject {
    /// The breaker itself, for tests that look deeper.
    pub breaker: Breaker,
}

impl CoreSubject {
    /// A new breaker named `test`, salt 0, at 0.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { breaker: Breaker::new(policy, "test", 0, 0) }
    }
}

/// A kind by its name.
pub fn kind(name: &str) -> Option<OutcomeKind> {
    use OutcomeKind::{BadRequest, Cancelled, ContentPolicy, Error, Overloaded, RateLimited, Success, Timeout};
    [Success, Error, Timeout, RateLimited, Overloaded, Cancelled, ContentPolicy, BadRequest]
        .into_iter()
        .find(|kind| kind.name() == name)
}

impl Subject for CoreSubject {
    fn before(&mut self, now: u64) -> Seen {
        match self.breaker.before_call(now) {
            Ok(admission) => Seen {
                admitted: Some(true),
                permit: Some(admission.permit.bits()),
                event: admission.event.as_deref().map(event),
                ..Seen::default()
            },
            Err(refused) => rejection(refused),
        }
    }

    fn settle(&mut self, permit: u64, ending: &Ending, now: u64) -> Seen {
        let outcome = Outcome {
            kind: kind(ending.kind).expect("its names are the contract's"),
            latency: ending.latency,
            signal: match ending.signal {
                SignalIn::None => Signal::None,
                SignalIn::Score(score) => Signal::Score(score),
                SignalIn::Pending => Signal::Pending,
            },
            retry_after: ending.retry_after,
            verdicts: &ending.verdicts,
        };
        settled(self.breaker.record_outcome(Permit::from_bits(permit), &outcome, now))
    }

    fn report(&mut self, permit: u64, score: Option<f64>, now: u64) -> Seen {
        let report = score.map_or(QualityReport::Missing, QualityReport::Score);
        settled(self.breaker.report_quality(Permit::from_bits(permit), report, now))
    }

    fn would_refuse(&mut self, now: u64) -> Seen {
        match self.breaker.would_refuse(now) {
            None => Seen { admitted: Some(true), ..Seen::default() },
            Some(refused) => rejection(refused),
        }
    }

    fn status(&mut self, now: u64) -> StatusSeen {
        status(self.breaker.status(now))
    }

    fn reset(&mut self, now: u64) -> Seen {
        Seen { event: Some(event(&self.breaker.reset(now))), ..Seen::default() }
    }

    fn operator(&mut self, state: &str, now: u64) -> Seen {
        let state = match state {
            "forced-open" => OperatorState::ForcedOpen,
            "disabled" => OperatorState::Disabled,
            "metrics-only" => OperatorState::MetricsOnly,
            other => panic!("{other} is no operator's state"),
        };
        Seen { event: self.breaker.set_operator_state(state, now).as_deref().map(event), ..Seen::default() }
    }

    fn trip(&mut self, reason: &str, open_for: Option<u64>, now: u64) -> Seen {
        Seen { event: self.breaker.trip(reason.into(), open_for, now).as_deref().map(event), ..Seen::default() }
    }

    fn reincarnate(&mut self, now: u64, then: u64, away: u64) {
        let snapshot = self.breaker.snapshot(now);
        let restored = Breaker::restore(self.breaker.policy().clone(), &snapshot, then, away);
        self.breaker = restored.expect("a snapshot of the same policy");
    }
}

fn name(state: State) -> String {
    state.name().to_string()
}

fn rejection(rejection: Rejection<'_>) -> Seen {
    Seen {
        admitted: Some(false),
        state: Some(name(rejection.state)),
        retry_after_ns: rejection.retry_after,
        trip_count: Some(rejection.trip_count),
        reason: rejection.reason.map(ToString::to_string),
        ..Seen::default()
    }
}

fn settled(settled: Result<Settlement, RecordError>) -> Seen {
    match settled {
        Ok(settlement) => {
            let effect = match settlement.effect {
                Effect::Recorded => "recorded",
                Effect::Probed => "probed",
                Effect::Ignored => "ignored",
                Effect::Stale => "stale",
                Effect::Pending => "pending",
            };
            let event = settlement.event.as_deref().map(event);
            Seen { effect: Some(effect.to_string()), event, ..Seen::default() }
        }
        Err(error) => {
            let error = match error {
                RecordError::UnknownPermit => "unknown-permit",
                RecordError::Stale => "stale",
                RecordError::InvalidScore(_) => "invalid-score",
                RecordError::InvalidVerdicts(_) => "invalid-verdicts",
            };
            Seen { error: Some(error.to_string()), ..Seen::default() }
        }
    }
}

fn event(event: &Event) -> EventSeen {
    let (kind, reason) = match &event.reason {
        EventReason::Tripped(reason) => ("tripped", Some(reason)),
        EventReason::WouldHaveTripped(reason) => ("would-have-tripped", Some(reason)),
        EventReason::OpenPeriodOver => ("open-period-over", None),
        EventReason::Recovered => ("recovered", None),
        EventReason::Reset => ("reset", None),
        EventReason::Operator => ("operator", None),
    };
    EventSeen {
        at_ns: event.at.as_nanos(),
        old: name(event.old),
        new: name(event.new),
        generation: event.generation,
        trip_count: event.trip_count,
        open_until_ns: event.open_until.map(|at| at.as_nanos()),
        ..EventSeen::of(kind, reason.map(trip))
    }
}

fn trip(reason: &TripReason) -> TripSeen {
    let causes = |causes: &[Cause]| causes.iter().cloned().map(cause).collect();
    match reason {
        TripReason::Conditions(found) => TripSeen::Conditions(causes(found)),
        TripReason::ProbeConditions(found) => TripSeen::ProbeConditions(causes(found)),
        TripReason::ProbeFailed(kind) => TripSeen::ProbeFailed(kind.name().to_string()),
        TripReason::Host(reason) => TripSeen::Host(reason.clone()),
    }
}

fn cause(Cause { path, value, limit, text }: Cause) -> CauseSeen {
    CauseSeen { path, value, limit, text }
}

fn status(status: softfuse_core::Status) -> StatusSeen {
    let transition =
        |t: &softfuse_core::Transition| seen::transition(t.old.name(), t.new.name(), t.at.as_nanos(), &t.text);
    let reading = |reading: softfuse_core::Reading| {
        let softfuse_core::Reading { path, value, limit, filled, needed, holds } = reading;
        ReadingSeen { path, value, limit, filled, needed, holds }
    };
    StatusSeen {
        state: name(status.state),
        since_ns: status.since.as_nanos(),
        generation: status.generation,
        would_refuse: status.would_refuse,
        retry_after_ns: status.retry_after,
        trip_count: status.trip_count,
        reopen_count: status.reopen_count,
        last_trip_at_ns: status.last_trip.as_ref().map(|trip| trip.at.as_nanos()),
        last_trip: status.last_trip.map(|trip| trip.reason.to_string()),
        transitions: status.transitions.iter().map(transition).collect(),
        calls: status.totals.calls(),
        successes: status.totals.successes,
        failures: status.totals.failures,
        neutral: status.totals.neutral,
        rejections: status.totals.rejections,
        stale: status.totals.stale,
        last_failure_at_ns: status.last_failure.map(|failure| failure.at.as_nanos()),
        last_failure: status.last_failure.map(|failure| failure.kind.name().to_string()),
        consecutive_failures: status.consecutive_failures,
        consecutive_successes: status.consecutive_successes,
        conditions: status.conditions.into_iter().map(reading).collect(),
        live_probes: status.live_probes,
        passed_probes: status.passed_probes,
        calls_per_minute: status.calls_per_minute,
    }
}
