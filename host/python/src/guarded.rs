//! A decorated function: each call of it goes through its breaker. This is the hot path.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};
use softfuse::{Breaker, Outcome, Permit as HostPermit, Rejected, Score, Time};

use crate::current::{self, by_context};
use crate::hooks::{Caller, Ended, Source, refusal};
use crate::permit::Permit;
use crate::python::{bridge, unlocked};

/// A function behind a breaker, as `circuit_breaker` makes it of an ordinary function. It is called as the function is, has
/// its name, its documentation and its signature, and is a method in a class's body. `breaker` is its breaker (the family, where there is one per key).
#[pyclass(frozen, dict, weakref, module = "softfuse", name = "GuardedFunction")]
pub(crate) struct Guarded {
    function: Py<PyAny>,
    caller: Py<Caller>,
    /// What the attribute `breaker` gives.
    breaker: Py<PyAny>,
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
        let permit = match admitted {
            Ok(permit) => permit,
            Err(rejected) => return caller.instead(args, kwargs, || refusal(py, &rejected)),
        };
        let outer = current::enter();
        let result = self.function.bind(py).call(args, kwargs);
        let said = current::leave(outer);
        let ended = breaker.now();
        if let (Ok(answer), true, None) = (&result, caller.is_plain, &said.reporter) {
            let mut outcome = Outcome::success();
            if let Ok(score) = Score::new(said.score) {
                outcome = outcome.with_score(score);
            }
            permit.settle_at(outcome, ended);
            return Ok(answer.clone());
        }
        finish(caller, permit, (result, said, ended), args, kwargs)
    }

    /// Where greenlets are about: the call lives in the context, as a coroutine's does.
    #[cold]
    fn call_in_context<'py>(
        &self,
        breaker: &Breaker,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let caller = self.caller.get();
        let permit = match Permit::ask(py, breaker, caller.is_locked, Some(self.caller.clone_ref(py)), None) {
            Ok(permit) => Bound::new(py, permit)?,
            Err(rejected) => return caller.instead(args, kwargs, || refusal(py, &rejected)),
        };
        let variable = bridge(py)?.call.bind(py);
        let token = variable.call_method1("set", (&permit,))?;
        let result = self.function.bind(py).call(args, kwargs);
        variable.call_method1("reset", (token,))?;
        let replaced = permit.get().end(py, result.as_ref(), None)?;
        match result {
            Err(error) if replaced => caller.instead(args, kwargs, || error),
            Ok(answer) if replaced => Ok(caller.instead_of(answer, args, kwargs)),
            result => result,
        }
    }
}

#[cold]
fn admit_unlocked<'b>(py: Python<'_>, breaker: &'b Breaker, now: Time) -> Result<HostPermit<'b>, Rejected> {
    unlocked(py, true, || breaker.permit_at(now))
}

/// Ends a call that is more than a success without more ado.
#[cold]
#[inline(never)]
fn finish<'py>(
    caller: &Caller,
    permit: HostPermit<'_>,
    (result, said, ended): (PyResult<Bound<'py, PyAny>>, current::Said, Time),
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Ended { settled, is_bad } = caller.end(args.py(), permit, result.as_ref(), said, ended, None)?;
    match result {
        Err(error) if settled.tripped() => caller.instead(args, kwargs, || error),
        Ok(answer) if is_bad => Ok(caller.instead_of(answer, args, kwargs)),
        result => result,
    }
}

#[pymethods]
impl Guarded {
    #[new]
    fn new(function: Py<PyAny>, caller: Py<Caller>, breaker: Py<PyAny>) -> Self {
        Self { function, caller, breaker }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let caller = self.caller.get();
        let keyed = caller.keyed(args, kwargs)?;
        let breaker = match (&keyed, &caller.source) {
            (Some(breaker), _) | (None, Source::One(breaker)) => breaker,
            (None, Source::Keyed(family, _)) => family.overflow(),
        };
        if by_context() {
            return self.call_in_context(breaker, args, kwargs);
        }
        self.call_through(breaker, caller, args, kwargs)
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

    #[getter]
    fn breaker(&self, py: Python<'_>) -> Py<PyAny> {
        self.breaker.clone_ref(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        Ok(format!("<guarded {}>", this.function.bind(slf.py()).repr()?))
    }

    /// By its name, as functions are.
    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.getattr("__qualname__").map(Bound::unbind)
    }

    fn __copy__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __deepcopy__<'py>(slf: Bound<'py, Self>, memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        let _ = memo;
        slf
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.caller)?;
        visit.call(&self.breaker)
    }
}
