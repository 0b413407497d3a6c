//! Conditions that are written in Python, in their places in a policy.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use softfuse::{CallRecord, Condition, Conditions};

use crate::ends::settling_error;
use crate::python::{attached, bridge, problem};
use crate::values::nanos_of;

/// A condition: called with each record, and reset.
struct Written(Py<PyAny>);

impl Condition for Written {
    fn record(&mut self, call: &CallRecord) -> Option<String> {
        // While Python ends nobody is there to be asked.
        attached(|py| self.ask(py, call)).flatten()
    }

    fn reset(&mut self) {
        attached(|py| {
            if let Err(raised) = self.0.bind(py).call_method0("reset") {
                problem(py, "a condition's reset", raised);
            }
        });
    }
}

impl Written {
    fn ask(&self, py: Python<'_>, call: &CallRecord) -> Option<String> {
        let asked = || -> PyResult<Option<String>> {
            let bridge = bridge(py)?;
            let shown = (
                nanos_of(call.latency),
                if call.kind.is_failure() { settling_error(py) } else { None },
                call.score.map(softfuse::Score::get),
                call.kind.as_str(),
                call.at.as_nanos(),
            );
            let record = bridge.call_record.bind(py).call1(shown)?;
            let verdict = self.0.bind(py).call1((record,))?;
            bridge.verdict.bind(py).call1((&self.0, verdict))?.extract()
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
