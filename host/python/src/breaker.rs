//! A breaker as the package's `CircuitBreaker` holds it.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use softfuse::{Breaker, ComponentFailure, StateChange};

use crate::ends::refusal;
use crate::hooks::is_locked;
use crate::permit::Permit;
use crate::python::{detached, error, let_through};
use crate::registry::Policy;
use crate::values::{operator_of, span_of, state_change, status, time_of};

/// A breaker of the Rust host. Whatever may wait for its lock lets the GIL go, but for a permit of a breaker that never asks
/// Python for anything.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Core {
    breaker: Breaker,
    is_locked: bool,
}

impl Core {
    pub(crate) fn of(breaker: Breaker) -> Self {
        let is_locked = is_locked(&breaker);
        Self { breaker, is_locked }
    }

    pub(crate) const fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    fn changed<'py>(
        &self,
        py: Python<'py>,
        changed: Result<Option<StateChange>, ComponentFailure>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let_through()?;
        let change = changed.map_err(|failure| failed(py, &failure))?;
        change.map(|change| state_change(py, self.breaker.name(), &change)).transpose()
    }
}

/// The breaker component has failed.
pub(crate) fn failed(py: Python<'_>, failure: &ComponentFailure) -> PyErr {
    error(py, "ComponentFailed", (failure.to_string(), failure.as_str()))
}

#[pymethods]
impl Core {
    #[getter]
    fn name(&self) -> &str {
        self.breaker.name()
    }

    #[getter]
    fn policy(&self) -> Policy {
        Policy::of(self.breaker.policy().clone())
    }

    fn state(&self) -> &'static str {
        self.breaker.state().as_str()
    }

    fn now_ns(&self) -> i64 {
        self.breaker.now().as_nanos()
    }

    fn before(&self, py: Python<'_>, now_ns: Option<i64>) -> PyResult<Permit> {
        let now = time_of(now_ns, &self.breaker);
        let asked = Permit::ask(py, &self.breaker, self.is_locked, None, Some(now));
        let_through()?;
        asked.map_err(|rejected| refusal(py, &rejected))
    }

    /// The exception that a call would get now, if any.
    fn would_refuse(&self, py: Python<'_>, now_ns: Option<i64>) -> Option<Py<PyAny>> {
        let now = time_of(now_ns, &self.breaker);
        let refused = detached(py, || self.breaker.would_refuse_at(now));
        refused.map(|rejected| refusal(py, &rejected).into_value(py).into_any())
    }

    fn status<'py>(&self, py: Python<'py>, now_ns: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        let now = time_of(now_ns, &self.breaker);
        let read = detached(py, || self.breaker.status_at(now));
        let_through()?;
        let read = read.map_err(|failure| failed(py, &failure))?;
        status(py, &read)
    }

    fn reset<'py>(&self, py: Python<'py>, now_ns: Option<i64>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let now = time_of(now_ns, &self.breaker);
        self.changed(py, detached(py, || self.breaker.reset_at(now)))
    }

    fn operator<'py>(&self, py: Python<'py>, state: &str, now_ns: Option<i64>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (state, now) = (operator_of(state)?, time_of(now_ns, &self.breaker));
        self.changed(py, detached(py, || self.breaker.set_operator_state_at(state, now)))
    }

    fn trip<'py>(
        &self,
        py: Python<'py>,
        reason: &str,
        open_for_ns: Option<u64>,
        now_ns: Option<i64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let now = time_of(now_ns, &self.breaker);
        self.changed(py, detached(py, || self.breaker.trip_at(reason, open_for_ns.map(span_of), now)))
    }

    fn snapshot<'py>(&self, py: Python<'py>, now_ns: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let now = time_of(now_ns, &self.breaker);
        let saved = detached(py, || self.breaker.snapshot_at(now)).map_err(|failure| failed(py, &failure))?;
        Ok(PyBytes::new(py, &saved))
    }
}
