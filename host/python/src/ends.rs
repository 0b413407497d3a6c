//! How calls end: settlements, refusals, and what an outcome is in Python's words.

use std::cell::RefCell;

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use softfuse::{Outcome, Permit as HostPermit, Rejected, Settled, Signal, Time};

use crate::current;
use crate::python::{bridge, unlocked};
use crate::raw::call;
use crate::reporter::Reporter;
use crate::values::{kind_of, span_of};

thread_local! {
    /// The exception of the call that is being settled on this thread, for conditions written in Python.
    static ERROR: RefCell<Option<Py<PyBaseException>>> = const { RefCell::new(None) };
}

/// Ends a call that succeeded, and whose reporter was asked for.
#[cold]
pub(crate) fn end_reported(mut permit: HostPermit<'_>, outcome: Outcome, ended: Time, reporter: &Py<Reporter>) {
    let score = reporter.get().so_far();
    reporter.get().comes_true(permit.reporter());
    permit.settle_at(score.map_or(outcome, |score| outcome.with_score(score)), ended);
}

/// The exception of the call that is being settled on this thread.
pub(crate) fn settling_error(py: Python<'_>) -> Option<Py<PyBaseException>> {
    ERROR.with_borrow(|error| error.as_ref().map(|error| error.clone_ref(py)))
}

/// Settles a permit, with no lock of Python's held where the breaker's lock may be waited for.
pub(crate) fn settle<'b>(
    py: Python<'_>,
    locked: bool,
    raised: Option<Py<PyBaseException>>,
    permit: HostPermit<'b>,
    outcome: Outcome,
    ended: Time,
) -> Settled<'b> {
    if raised.is_none() {
        return unlocked(py, locked, || permit.settle_at(outcome, ended));
    }
    let outer = ERROR.replace(raised);
    let settled = unlocked(py, locked, || permit.settle_at(outcome, ended));
    drop(ERROR.replace(outer));
    settled
}

/// A refusal as the exception that says it.
pub(crate) fn refusal(py: Python<'_>, rejected: &Rejected) -> PyErr {
    let retry_after = rejected.retry_after().map(|span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    let failure = rejected.component_failure.as_ref().map(ToString::to_string);
    let (name, state, reason) = (&*rejected.breaker, rejected.state.as_str(), rejected.reason.as_deref());
    let made = bridge(py).and_then(|bridge| {
        let shown = (name, state, rejected.trip_count, reason, retry_after, failure);
        call(bridge.refused.bind(py), shown, None)
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

/// An outcome as the package's Python side says it: kind, latency, score, whether it is pending, Retry-After.
pub(crate) fn outcome_of(said: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let (kind, latency, score, pending, retry_after): (
        String,
        Option<u64>,
        Option<Bound<'_, PyAny>>,
        bool,
        Option<u64>,
    ) = said.extract()?;
    let mut outcome = Outcome::new(kind_of(&kind)?);
    outcome.latency = latency.map(span_of);
    outcome.retry_after = retry_after.map(span_of);
    outcome.signal = match score {
        Some(score) => Signal::Score(current::score_of(&score)?),
        None if pending => Signal::Pending,
        None => Signal::None,
    };
    Ok(outcome)
}
