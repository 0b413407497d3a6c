//! The extension module of the Python package `softfuse`: converts, keeps a call's place, and calls the Rust host.
//!
//! What decides is the breaker component, and what users see is the Python package beside this (`python/softfuse`). Whatever is on a
//! guarded call's way is here, so that it costs little: [`guarded`] makes the call, [`hooks`] ends it, [`current`] knows which is under
//! way. Whatever of Python's is called from here, by PyO3 too, is called through a frame of C's, so that no thread is ever unwound through
//! one of Rust's, which would abort the process: the linker sees to that (see `stay.c`).
//!
//! **Locks and the interpreter's lock (GIL).** A breaker with conditions written in Python holds its own lock while it asks
//! them, and they need the GIL. So whoever may wait for the lock of such a breaker lets the GIL go first
//! ([`python::unlocked`]); everybody else keeps it, since a thread that gives it up for 100 ns may not get it back for 5 ms.

mod breaker;
mod bulkhead;
mod condition;
mod current;
mod ends;
mod guarded;
mod hooks;
mod permit;
mod python;
mod raw;
mod registry;
mod reporter;
mod scorer;
mod values;

use pyo3::prelude::*;

/// Everything that the package takes from here.
#[pymodule(gil_used = false)]
fn _softfuse(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<breaker::Core>()?;
    module.add_class::<bulkhead::Bulkhead>()?;
    module.add_class::<bulkhead::Entering>()?;
    module.add_class::<bulkhead::Place>()?;
    module.add_class::<guarded::Guarded>()?;
    module.add_class::<hooks::Caller>()?;
    module.add_class::<hooks::Refused>()?;
    module.add_class::<permit::Permit>()?;
    module.add_class::<permit::Late>()?;
    module.add_class::<reporter::Reporter>()?;
    module.add_class::<registry::Clock>()?;
    module.add_class::<registry::Family>()?;
    module.add_class::<registry::Policy>()?;
    module.add_class::<registry::Registry>()?;
    module.add_class::<scorer::Scorer>()?;
    module.add_function(wrap_pyfunction!(registry::presets, module)?)?;
    module.add_function(wrap_pyfunction!(current::report_quality, module)?)?;
    module.add_function(wrap_pyfunction!(current::call_reporter, module)?)?;
    module.add_function(wrap_pyfunction!(python::leave_interpreter, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
