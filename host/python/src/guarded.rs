//! A decorated function: each call of it goes through its breaker. This is the hot path.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};
use softfuse::{Breaker, Outcome, Permit as HostPermit, Rejected, Score, Time};

use crate::current;
use crate::ends::{end_reported, refusal};
use crate::hooks::{Caller, Source};
use crate::python::{let_through, problem, unlocked};
use crate::raw::{Handling, call};

/// A function behind a breaker, as `circuit_breaker` makes it of an ordinary function. It is called as the function is, and is a
/// method in a class's body; its name, its documentation and its signature are in its dictionary.
#[pyclass(frozen, dict, weakref, module = "softfuse", name = "GuardedFunction")]
pub(crate) struct Guarded {
    function: Py<PyAny>,
    caller: Py<Caller>,
    /// What is given where a call is refused, fails and opens the circuit, or is answered badly.
    fallback: Option<Fallback>,
}

enum Fallback {
    Value(Py<PyAny>),
    /// Called as the function is.
    Function(Py<PyAny>),
}

impl Guarded {
    #[inline(always)]
    fn call_through<'py>(
        &self,
        breaker: &Breaker,
        caller: &Caller,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let now = breaker.now();
        let admitted = if caller.is_locked { admit_unlocked(py, breaker, now) } else { breaker.permit_at(now) };
        if let Err(left) = let_through() {
            // By a callback, so the call isn't made.
            unlocked(py, caller.is_locked, || drop(admitted));
            return Err(left);
        }
        let permit = match admitted {
            Ok(permit) => permit,
            Err(rejected) => return self.instead_of_call(&rejected, args, kwargs),
        };
        let outer = current::enter();
        let result = call(self.function.bind(py), args, kwargs);
        let said = current::leave(outer);
        let ended = breaker.now();
        let answer = match result {
            Ok(answer) if caller.is_plain => answer,
            result => return self.finish(caller, permit, (result, said, ended), args, kwargs),
        };
        let mut outcome = Outcome::success();
        if let Ok(score) = Score::new(said.score) {
            outcome = outcome.with_score(score);
        }
        match &said.reporter {
            None => drop(permit.settle_at(outcome, ended)),
            Some(reporter) => end_reported(permit, outcome, ended, reporter),
        }
        let_through()?;
        Ok(answer)
    }

    /// Ends a call that is more than a success without more ado.
    #[cold]
    #[inline(never)]
    fn finish<'py>(
        &self,
        caller: &Caller,
        permit: HostPermit<'_>,
        (result, said, ended): (PyResult<Bound<'py, PyAny>>, current::Said, Time),
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        // What the hooks and the fallback are called by is an `except` clause, as far as they can see.
        let _handling = result.as_ref().err().map(|error| Handling::begin(py, error));
        let ended = caller.end(py, permit, result.as_ref(), said, ended, None);
        let_through()?;
        match (result, &self.fallback) {
            (Err(_), Some(fallback)) if ended.settled.tripped() => fallback.give(args, kwargs),
            (Ok(answer), Some(fallback)) if ended.is_bad => match fallback.give(args, kwargs) {
                Err(raised) if raised.is_instance_of::<PyException>(py) => {
                    problem(py, "the fallback of a bad answer", raised);
                    Ok(answer)
                }
                instead => instead,
            },
            (result, _) => result,
        }
    }

    /// What is given in the place of a call that is refused.
    #[cold]
    #[inline(never)]
    fn instead_of_call<'py>(
        &self,
        rejected: &Rejected,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.fallback {
            Some(fallback) => fallback.give(args, kwargs),
            None => Err(refusal(args.py(), rejected)),
        }
    }
}

impl Fallback {
    fn give<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Value(value) => Ok(value.bind(args.py()).clone()),
            Self::Function(function) => call(function.bind(args.py()), args, kwargs),
        }
    }
}

#[cold]
#[inline(never)]
fn admit_unlocked<'b>(py: Python<'_>, breaker: &'b Breaker, now: Time) -> Result<HostPermit<'b>, Rejected> {
    unlocked(py, true, || breaker.permit_at(now))
}

#[pymethods]
impl Guarded {
    /// `fallback`: whether there is one, and which.
    #[new]
    fn new(function: Py<PyAny>, caller: Py<Caller>, fallback: (bool, Bound<'_, PyAny>)) -> Self {
        let fallback = match fallback {
            (false, _) => None,
            (true, function) if function.is_callable() => Some(Fallback::Function(function.unbind())),
            (true, value) => Some(Fallback::Value(value.unbind())),
        };
        Self { function, caller, fallback }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let caller = self.caller.get();
        match &caller.source {
            Source::One(breaker) => self.call_through(breaker, caller, args, kwargs),
            Source::Keyed(family, key) => {
                let breaker = caller.of_key(family, key.bind(args.py()), args, kwargs)?;
                self.call_through(&breaker, caller, args, kwargs)
            }
        }
    }

    /// As a function in a class's body: a method of the instance.
    fn __get__<'py>(
        slf: Bound<'py, Self>,
        instance: Bound<'py, PyAny>,
        owner: Option<Bound<'py, PyType>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = owner;
        if instance.is_none() {
            return Ok(slf.into_any());
        }
        slf.py().import("types")?.getattr("MethodType")?.call1((slf, instance))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!("<guarded {}>", slf.get().function.bind(slf.py()).repr()?))
    }

    /// By its name, as functions are; copies are itself for the same reason.
    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.getattr("__qualname__").map(Bound::unbind)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.caller)?;
        match &self.fallback {
            Some(Fallback::Value(held) | Fallback::Function(held)) => visit.call(held),
            None => Ok(()),
        }
    }
}
