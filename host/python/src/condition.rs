//! Conditions that are written in Python, in their places in a policy.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use softfuse::{CallRecord, Condition, Conditions};

use crate::ends::settling_error;
use crate::python::{attached, bridge, problem};
use crate::raw::call;
use crate::values::nanos_of;

/// A condition: called with each record, and reset.
struct Written(Py<PyAny>);

impl Condition for Written {
    fn record(&mut self, record: &CallRecord) -> Option<String> {
        // While Python ends nobody is there to be asked.
        attached(|py| self.ask(py, record)).flatten()
    }

    fn reset(&mut self) {
        attached(|py| {
            if let Err(raised) = self.0.bind(py).getattr("reset").and_then(|reset| call(&reset, (), None)) {
                problem(py, "a condition's reset", raised);
            }
        });
    }
}

impl Written {
    fn ask(&self, py: Python<'_>, record: &CallRecord) -> Option<String> {
        let asked = || -> PyResult<Option<String>> {
            let bridge = bridge(py)?;
            let shown = (
                nanos_of(record.latency),
                if record.kind.is_failure() { settling_error(py) } else { None },
                record.score.map(softfuse::Score::get),
                record.kind.as_str(),
                record.at.as_nanos(),
            );
            let shown = call(bridge.call_record.bind(py), shown, None)?;
            let verdict = call(self.0.bind(py), (shown,), None)?;
            call(bridge.verdict.bind(py), (&self.0, verdict), None)?.extract()
        };
        asked().unwrap_or_else(|raised| {
            // It counts as not holding.
            problem(py, "a condition", raised);
            None
        })
    }
}

/// Conditions by name, as they are handed in.
pub(crate) fn conditions(given: Option<&Bound<'_, PyDict>>) -> PyResult<Conditions> {
    let mut conditions = Conditions::new();
    for (name, condition) in given.into_iter().flatten() {
        conditions.insert(name.extract()?, Box::new(Written(condition.unbind())));
    }
    Ok(conditions)
}
