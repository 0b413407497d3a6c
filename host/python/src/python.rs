//! What the extension takes from the package's Python side, and how it lets go of the interpreter's lock.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Functions of the module `softfuse._bridge`, each looked up once.
pub(crate) struct Bridge {
    /// `(name, state, trip_count, reason, retry_after_ns, failure) -> CircuitBreakerOpen`
    pub(crate) refused: Py<PyAny>,
    /// `(error) -> (kind, retry_after_ns)`
    pub(crate) classify_error: Py<PyAny>,
    /// `(hook, result, error) -> (kind, latency_ns, score, pending, retry_after_ns) | None`
    pub(crate) classified: Py<PyAny>,
    /// `(what, error)`: logs what a callback raised.
    pub(crate) problem: Py<PyAny>,
    /// `(latency_ns, error, quality, kind, at_ns) -> CallRecord`
    pub(crate) call_record: Py<PyAny>,
    /// `(condition, verdict) -> str | None`
    pub(crate) verdict: Py<PyAny>,
    /// `(**fields) -> StateChange`
    pub(crate) state_change: Py<PyAny>,
    /// `(**fields) -> CircuitStatus`
    pub(crate) status: Py<PyAny>,
    /// `(effect, change, latency_ns, late) -> Settled`
    pub(crate) settled: Py<PyAny>,
    /// `(exchange function | None, answer) -> the exchange's parts | None`
    pub(crate) exchange: Py<PyAny>,
    /// `(class name, *arguments) -> BaseException`
    pub(crate) error: Py<PyAny>,
    /// The context variable that holds the permit of the call under way.
    pub(crate) call: Py<PyAny>,
}

static BRIDGE: PyOnceLock<Bridge> = PyOnceLock::new();

/// The package's Python side.
pub(crate) fn bridge(py: Python<'_>) -> PyResult<&Bridge> {
    BRIDGE.get_or_try_init(py, || {
        let module = py.import("softfuse._bridge")?;
        let get = |name: &str| module.getattr(name).map(Bound::unbind);
        Ok(Bridge {
            refused: get("refused")?,
            classify_error: get("classify_error")?,
            classified: get("classified")?,
            problem: get("problem")?,
            call_record: get("call_record")?,
            verdict: get("verdict")?,
            state_change: get("state_change")?,
            status: get("status")?,
            settled: get("settled")?,
            exchange: get("exchange_parts")?,
            error: get("error")?,
            call: get("CALL")?,
        })
    })
}

/// An error of the package's own, by its class's name.
pub(crate) fn error<'py>(py: Python<'py>, class: &str, arguments: impl IntoPyObject<'py, Error: Into<PyErr>>) -> PyErr {
    let made = bridge(py).and_then(|bridge| bridge.error.bind(py).call1((class, arguments)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Tells the log of what a callback raised, which reaches no caller.
pub(crate) fn problem(py: Python<'_>, what: &str, error: PyErr) {
    let told = bridge(py).and_then(|bridge| bridge.problem.call1(py, (what, error.clone_ref(py))));
    if told.is_err() {
        error.write_unraisable(py, None);
    }
}

/// Runs what may wait for a lock whose holder may be waiting for the GIL.
pub(crate) fn unlocked<T: Send>(py: Python<'_>, locked: bool, run: impl FnOnce() -> T + Send) -> T {
    if locked { py.detach(run) } else { run() }
}
