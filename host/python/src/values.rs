//! Between the Rust host's values and the package's: names, spans, changes of state, statuses.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use softfuse::{
    Breaker, Cause, CircuitStatus, Effect, EventReason, OperatorState, OutcomeKind, StateChange, Time, TripReason,
};

use crate::python::bridge;
use crate::raw::call;

/// An outcome's kind by its name.
pub(crate) fn kind_of(name: &str) -> PyResult<OutcomeKind> {
    OutcomeKind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
        let names = OutcomeKind::ALL.map(OutcomeKind::as_str).join(", ");
        PyValueError::new_err(format!("there is no outcome '{name}'; there are {names}"))
    })
}

/// An operator's state by its name.
pub(crate) fn operator_of(name: &str) -> PyResult<OperatorState> {
    match name {
        "forced-open" => Ok(OperatorState::ForcedOpen),
        "disabled" => Ok(OperatorState::Disabled),
        "metrics-only" => Ok(OperatorState::MetricsOnly),
        other => {
            let message = "there is no operator's state";
            Err(PyValueError::new_err(format!("{message} {other:?}; there are forced-open, disabled, metrics-only")))
        }
    }
}

/// Nanoseconds as a span.
pub(crate) const fn span_of(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A span as nanoseconds; the longest that there is for longer ones.
pub(crate) fn nanos_of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The time that was handed in, or the breaker's clock's.
pub(crate) fn time_of(now_ns: Option<i64>, breaker: &Breaker) -> Time {
    now_ns.map_or_else(|| breaker.now(), Time::from_nanos)
}

/// What became of an outcome or a score, in a word.
pub(crate) const fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Recorded => "recorded",
        Effect::Probed => "probed",
        Effect::Ignored => "ignored",
        Effect::Stale => "stale",
        Effect::Pending => "pending",
        Effect::Lost => "lost",
    }
}

type CauseSeen<'a> = (&'a str, f64, f64, &'a str);

fn causes(list: &[Cause]) -> Vec<CauseSeen<'_>> {
    list.iter().map(|cause| (cause.path.as_str(), cause.value, cause.limit, cause.text.as_str())).collect()
}

/// A trip: its case, its causes, and the kind or the reason of one without causes.
fn trip(reason: &TripReason) -> (&'static str, Vec<CauseSeen<'_>>, Option<&str>) {
    match reason {
        TripReason::Conditions(list) => ("conditions", causes(list), None),
        TripReason::ProbeConditions(list) => ("probe-conditions", causes(list), None),
        TripReason::ProbeFailed(kind) => ("probe-failed", Vec::new(), Some(kind.as_str())),
        TripReason::Host(reason) => ("host", Vec::new(), Some(reason)),
    }
}

/// A change of state, as the package's `StateChange`.
pub(crate) fn state_change<'py>(py: Python<'py>, breaker: &str, change: &StateChange) -> PyResult<Bound<'py, PyAny>> {
    let (kind, tripped) = match &change.reason {
        EventReason::Tripped(reason) => ("tripped", Some(reason)),
        EventReason::WouldHaveTripped(reason) => ("would-have-tripped", Some(reason)),
        EventReason::OpenPeriodOver => ("open-period-over", None),
        EventReason::Recovered => ("recovered", None),
        EventReason::Reset => ("reset", None),
        EventReason::Operator => ("operator", None),
    };
    let fields = PyDict::new(py);
    fields.set_item("breaker", breaker)?;
    fields.set_item("at_ns", change.at.as_nanos())?;
    fields.set_item("old", change.old.as_str())?;
    fields.set_item("new", change.new.as_str())?;
    fields.set_item("kind", kind)?;
    fields.set_item("reason", change.reason.to_string())?;
    fields.set_item("trip", tripped.map(trip))?;
    fields.set_item("generation", change.generation)?;
    fields.set_item("trip_count", change.trip_count)?;
    fields.set_item("open_until_ns", change.open_until.map(Time::as_nanos))?;
    call(bridge(py)?.state_change.bind(py), (), Some(&fields))
}

/// A status, as the package's `CircuitStatus`.
pub(crate) fn status<'py>(py: Python<'py>, status: &CircuitStatus) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("state", status.state.as_str())?;
    fields.set_item("since_ns", status.since.as_nanos())?;
    fields.set_item("generation", status.generation)?;
    fields.set_item("would_refuse", status.would_refuse)?;
    fields.set_item("retry_after_ns", status.retry_after.map(nanos_of))?;
    fields.set_item("trip_count", status.trip_count)?;
    fields.set_item("reopen_count", status.reopen_count)?;
    let last_trip = status.last_trip.as_ref().map(|last| (last.at.as_nanos(), &last.text, trip(&last.reason)));
    fields.set_item("last_trip", last_trip)?;
    let transitions = PyList::empty(py);
    for passed in &status.transitions {
        transitions.append((passed.at.as_nanos(), passed.old.as_str(), passed.new.as_str(), &passed.text))?;
    }
    fields.set_item("transitions", transitions)?;
    let totals = &status.totals;
    let settled = (totals.calls, totals.successes, totals.failures, totals.neutral, totals.rejections, totals.stale);
    fields.set_item("totals", settled)?;
    let last_failure = status.last_failure.as_ref().map(|last| (last.at.as_nanos(), last.kind.as_str()));
    fields.set_item("last_failure", last_failure)?;
    fields.set_item("consecutive_failures", status.consecutive_failures)?;
    fields.set_item("consecutive_successes", status.consecutive_successes)?;
    let conditions = PyList::empty(py);
    for read in &status.conditions {
        conditions.append((&read.path, read.value, read.limit, read.filled, read.needed, read.holds))?;
    }
    fields.set_item("conditions", conditions)?;
    fields.set_item("live_probes", status.live_probes)?;
    fields.set_item("passed_probes", status.passed_probes)?;
    fields.set_item("calls_per_minute", status.calls_per_minute)?;
    call(bridge(py)?.status.bind(py), (), Some(&fields))
}
