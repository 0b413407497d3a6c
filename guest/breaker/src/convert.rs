//! Between the contract's types and the core's. Nothing is decided here.

use crate::bindings::exports::softfuse::breaker::breaker as wit;
use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use softfuse_core as core_;
use softfuse_core::time::Instant;

/// An instant at which something ends, for a host whose clock begins at 0.
pub(crate) fn host_instant(at: Instant) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(0)
}

pub(crate) fn problem(problem: core_::Problem) -> wit::PolicyProblem {
    let core_::Problem { line, column, key, message, nearest } = problem;
    wit::PolicyProblem { line, column, key, message, nearest }
}

pub(crate) fn policy_info(id: wit::PolicyId, policy: &core_::Policy) -> wit::PolicyInfo {
    wit::PolicyInfo {
        id,
        fingerprint: policy.fingerprint(),
        host_conditions: policy.host_conditions().map(ToString::to_string).collect(),
        uses_scores: policy.uses_scores(),
        require_quality_signal: policy.require_quality_signal(),
        breaker_bytes: policy.breaker_bytes(),
    }
}

pub(crate) fn state(state: core_::State) -> wit::State {
    match state {
        core_::State::Closed => wit::State::Closed,
        core_::State::Open => wit::State::Open,
        core_::State::HalfOpen => wit::State::HalfOpen,
        core_::State::ForcedOpen => wit::State::ForcedOpen,
        core_::State::Disabled => wit::State::Disabled,
        core_::State::MetricsOnly => wit::State::MetricsOnly,
    }
}

pub(crate) fn operator_state(state: wit::OperatorState) -> core_::OperatorState {
    match state {
        wit::OperatorState::ForcedOpen => core_::OperatorState::ForcedOpen,
        wit::OperatorState::Disabled => core_::OperatorState::Disabled,
        wit::OperatorState::MetricsOnly => core_::OperatorState::MetricsOnly,
    }
}

fn kind_to_core(kind: wit::OutcomeKind) -> core_::OutcomeKind {
    match kind {
        wit::OutcomeKind::Success => core_::OutcomeKind::Success,
        wit::OutcomeKind::Error => core_::OutcomeKind::Error,
        wit::OutcomeKind::Timeout => core_::OutcomeKind::Timeout,
        wit::OutcomeKind::RateLimited => core_::OutcomeKind::RateLimited,
        wit::OutcomeKind::Overloaded => core_::OutcomeKind::Overloaded,
        wit::OutcomeKind::Cancelled => core_::OutcomeKind::Cancelled,
        wit::OutcomeKind::ContentPolicy => core_::OutcomeKind::ContentPolicy,
        wit::OutcomeKind::BadRequest => core_::OutcomeKind::BadRequest,
    }
}

fn kind(kind: core_::OutcomeKind) -> wit::OutcomeKind {
    match kind {
        core_::OutcomeKind::Success => wit::OutcomeKind::Success,
        core_::OutcomeKind::Error => wit::OutcomeKind::Error,
        core_::OutcomeKind::Timeout => wit::OutcomeKind::Timeout,
        core_::OutcomeKind::RateLimited => wit::OutcomeKind::RateLimited,
        core_::OutcomeKind::Overloaded => wit::OutcomeKind::Overloaded,
        core_::OutcomeKind::Cancelled => wit::OutcomeKind::Cancelled,
        core_::OutcomeKind::ContentPolicy => wit::OutcomeKind::ContentPolicy,
        core_::OutcomeKind::BadRequest => wit::OutcomeKind::BadRequest,
    }
}

pub(crate) fn outcome(outcome: wit::Outcome, verdicts: &[Option<String>]) -> core_::Outcome<'_> {
    core_::Outcome {
        kind: kind_to_core(outcome.kind),
        latency: outcome.latency,
        signal: match outcome.signal {
            wit::Signal::None => core_::Signal::None,
            wit::Signal::Score(score) => core_::Signal::Score(score),
            wit::Signal::Pending => core_::Signal::Pending,
        },
        retry_after: outcome.retry_after,
        verdicts,
    }
}

pub(crate) fn report(report: wit::QualityReport) -> core_::QualityReport {
    match report {
        wit::QualityReport::Score(score) => core_::QualityReport::Score(score),
        wit::QualityReport::Missing => core_::QualityReport::Missing,
    }
}

fn causes(causes: Vec<core_::Cause>) -> Vec<wit::Cause> {
    let cause = |core_::Cause { path, value, limit, text }| wit::Cause { path, value, limit, text };
    causes.into_iter().map(cause).collect()
}

fn trip_reason(reason: core_::TripReason) -> wit::TripReason {
    match reason {
        core_::TripReason::Conditions(found) => wit::TripReason::Conditions(causes(found)),
        core_::TripReason::ProbeFailed(failure) => wit::TripReason::ProbeFailed(kind(failure)),
        core_::TripReason::ProbeConditions(found) => wit::TripReason::ProbeConditions(causes(found)),
        core_::TripReason::Host(reason) => wit::TripReason::Host(reason),
    }
}

#[expect(clippy::boxed_local, reason = "the core hands events out boxed, since most calls have none")]
pub(crate) fn event(event: Box<core_::Event>) -> wit::Event {
    wit::Event {
        at: event.at.as_nanos(),
        old: state(event.old),
        new: state(event.new),
        reason: match event.reason {
            core_::EventReason::Tripped(reason) => wit::EventReason::Tripped(trip_reason(reason)),
            core_::EventReason::WouldHaveTripped(reason) => wit::EventReason::WouldHaveTripped(trip_reason(reason)),
            core_::EventReason::OpenPeriodOver => wit::EventReason::OpenPeriodOver,
            core_::EventReason::Recovered => wit::EventReason::Recovered,
            core_::EventReason::Reset => wit::EventReason::Reset,
            core_::EventReason::Operator => wit::EventReason::Operator,
        },
        generation: event.generation,
        trip_count: event.trip_count,
        open_until: event.open_until.map(Instant::as_nanos),
    }
}

pub(crate) fn rejection(rejection: core_::Rejection<'_>) -> wit::Rejection {
    wit::Rejection {
        state: state(rejection.state),
        retry_after: rejection.retry_after,
        trip_count: rejection.trip_count,
        reason: rejection.reason.map(ToString::to_string),
    }
}

pub(crate) fn settlement(settlement: core_::Settlement) -> wit::Settlement {
    let effect = match settlement.effect {
        core_::Effect::Recorded => wit::Effect::Recorded,
        core_::Effect::Probed => wit::Effect::Probed,
        core_::Effect::Ignored => wit::Effect::Ignored,
        core_::Effect::Stale => wit::Effect::Stale,
        core_::Effect::Pending => wit::Effect::Pending,
    };
    wit::Settlement { effect, event: settlement.event.map(event) }
}

pub(crate) fn record_error(error: core_::RecordError) -> wit::RecordError {
    match error {
        core_::RecordError::UnknownPermit => wit::RecordError::UnknownPermit,
        core_::RecordError::Stale => wit::RecordError::Stale,
        core_::RecordError::InvalidScore(score) => wit::RecordError::InvalidScore(score),
        core_::RecordError::InvalidVerdicts(expected) => wit::RecordError::InvalidVerdicts(expected),
    }
}

pub(crate) fn standing(standing: core_::Standing) -> wit::Standing {
    match standing {
        core_::Standing::Current => wit::Standing::Current,
        core_::Standing::Probe => wit::Standing::Probe,
        core_::Standing::Stale => wit::Standing::Stale,
        core_::Standing::Unknown => wit::Standing::Unknown,
    }
}

pub(crate) fn restore_error(error: core_::RestoreError) -> wit::RestoreError {
    match error {
        core_::RestoreError::NotASnapshot => wit::RestoreError::NotASnapshot,
        core_::RestoreError::UnknownVersion(version) => wit::RestoreError::UnknownVersion(version),
        core_::RestoreError::Corrupt(place) => wit::RestoreError::Corrupt(place),
        core_::RestoreError::PolicyDiffers(fingerprint) => wit::RestoreError::PolicyDiffers(fingerprint),
    }
}

pub(crate) fn status(status: core_::Status) -> wit::CircuitStatus {
    let totals = status.totals;
    wit::CircuitStatus {
        state: state(status.state),
        since: status.since.as_nanos(),
        generation: status.generation,
        would_refuse: status.would_refuse,
        retry_after: status.retry_after,
        trip_count: status.trip_count,
        reopen_count: status.reopen_count,
        last_trip: status.last_trip.map(|trip| {
            let text = trip.reason.to_string();
            let reason = trip_reason(alloc::sync::Arc::unwrap_or_clone(trip.reason));
            wit::TripReport { at: trip.at.as_nanos(), reason, text }
        }),
        transitions: status.transitions.into_iter().map(transition).collect(),
        totals: wit::Totals {
            calls: totals.calls(),
            successes: totals.successes,
            failures: totals.failures,
            neutral: totals.neutral,
            rejections: totals.rejections,
            stale: totals.stale,
        },
        last_failure: status
            .last_failure
            .map(|failure| wit::FailureReport { at: failure.at.as_nanos(), kind: kind(failure.kind) }),
        consecutive_failures: status.consecutive_failures,
        consecutive_successes: status.consecutive_successes,
        conditions: status.conditions.into_iter().map(reading).collect(),
        live_probes: status.live_probes,
        passed_probes: status.passed_probes,
        calls_per_minute: status.calls_per_minute,
    }
}

fn transition(transition: core_::Transition) -> wit::Transition {
    let text: String = transition.text;
    wit::Transition { at: transition.at.as_nanos(), old: state(transition.old), new: state(transition.new), text }
}

fn reading(reading: core_::Reading) -> wit::Reading {
    let core_::Reading { path, value, limit, filled, needed, holds } = reading;
    wit::Reading { path, value, limit, filled, needed, holds }
}
