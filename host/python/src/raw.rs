//! What PyO3 has no safe words for: calls with a dictionary of keywords that may be none, threads that Python knows, and exceptions that
//! are being handled.

use std::ptr;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{BoundObject, ffi};

/// Calls a function.
#[inline(always)]
pub(crate) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    args: impl IntoPyObject<'py, Target = PyTuple, Error: Into<PyErr>>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = callable.py();
    let args = args.into_pyobject(py).map_err(Into::into)?;
    let kwargs = kwargs.map_or(ptr::null_mut(), Bound::as_ptr);
    // SAFETY: the three are what they should be and live as long as the call; an answer is the caller's, and none is an error that is set.
    unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyObject_Call(callable.as_ptr(), args.as_borrowed().as_ptr(), kwargs))
    }
}

/// Whether Python knows this thread: it is one of Python's, or has a call of Python's under way.
pub(crate) fn is_known_thread() -> bool {
    // SAFETY: it may be asked at any time, by any thread.
    !unsafe { ffi::PyGILState_GetThisThreadState() }.is_null()
}

/// An exception is being handled, as in the body of an `except`: `sys.exc_info` gives it, and what is raised meanwhile has it as
/// its context.
pub(crate) struct Handling<'py> {
    outer: [*mut ffi::PyObject; 3],
    _py: Python<'py>,
}

impl<'py> Handling<'py> {
    pub(crate) fn begin(py: Python<'py>, error: &PyErr) -> Self {
        let [mut class, mut value, mut trace] = [ptr::null_mut(); 3];
        let handled = (error.get_type(py), error.value(py).clone(), error.traceback(py));
        // SAFETY: it gives three references, or null, and takes three.
        unsafe {
            ffi::PyErr_GetExcInfo(&raw mut class, &raw mut value, &raw mut trace);
            let traceback = handled.2.map_or(ptr::null_mut(), Bound::into_ptr);
            ffi::PyErr_SetExcInfo(handled.0.into_ptr(), handled.1.into_ptr(), traceback);
        }
        Self { outer: [class, value, trace], _py: py }
    }
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        let [class, value, trace] = self.outer;
        // SAFETY: they were given by `PyErr_GetExcInfo`, and are given back.
        unsafe { ffi::PyErr_SetExcInfo(class, value, trace) };
    }
}
