//! What the extension takes from the package's Python side, and how it lets go of the interpreter's lock.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::raw::{call, is_known_thread};

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
    let made = bridge(py).and_then(|bridge| call(bridge.error.bind(py), (class, arguments), None));
    made.map_or_else(|error| error, PyErr::from_value)
}

thread_local! {
    /// What a callback on this thread has raised that isn't its breaker's business: see [`problem`].
    static LEFT: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}
/// Threads with something in [`LEFT`]: so that looking costs a guarded call next to nothing.
static LEFT_COUNT: AtomicUsize = AtomicUsize::new(0);

/// What a callback raised. An error is told to the log, and costs no caller the answer. What is to end more than a call
/// (`KeyboardInterrupt`, `SystemExit`: whatever is no `Exception`) is left for [`let_through`], since the breaker, which may be at work
/// between here and there, is none of its business.
pub(crate) fn problem(py: Python<'_>, what: &str, raised: PyErr) {
    if let Some(raised) = leave(py, raised) {
        tell(py, what, raised);
    }
}

/// Leaves what isn't an `Exception` for [`let_through`], and gives back what is. The first one counts, as the one that ends the rest.
pub(crate) fn leave(py: Python<'_>, raised: PyErr) -> Option<PyErr> {
    if raised.is_instance_of::<PyException>(py) {
        return Some(raised);
    }
    LEFT.with_borrow_mut(|left| {
        if left.is_some() {
            return Some(raised);
        }
        *left = Some(raised);
        LEFT_COUNT.fetch_add(1, Ordering::Relaxed);
        None
    })
}

/// Raises what a callback has left. Whoever was called by Python asks this when the breaker has all that it is to be told.
#[inline(always)]
pub(crate) fn let_through() -> PyResult<()> {
    if LEFT_COUNT.load(Ordering::Relaxed) == 0 { Ok(()) } else { raise_left() }
}

#[cold]
fn raise_left() -> PyResult<()> {
    let Some(left) = LEFT.take() else { return Ok(()) };
    LEFT_COUNT.fetch_sub(1, Ordering::Relaxed);
    Err(left)
}

/// Tells the log.
fn tell(py: Python<'_>, what: &str, error: PyErr) {
    let told = bridge(py).and_then(|bridge| call(bridge.problem.bind(py), (what, error.clone_ref(py)), None));
    if let Err(raised) = told {
        leave(py, raised);
        error.write_unraisable(py, None);
    }
}

/// Runs what may wait for a lock whose holder may be waiting for the GIL.
pub(crate) fn unlocked<T: Send>(py: Python<'_>, locked: bool, run: impl FnOnce() -> T + Send) -> T {
    if locked { detached(py, run) } else { run() }
}

/// Whether the interpreter is about to end: [`leave_interpreter`] was called.
static ENDING: AtomicBool = AtomicBool::new(false);
/// The thread that ends it.
static ENDED_BY: OnceLock<ThreadId> = OnceLock::new();
/// Threads that are about to take the GIL, or are in a callback.
static WITHIN: AtomicUsize = AtomicUsize::new(0);
/// How long the end of the interpreter is held up for those.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Whether this thread is none of those that may still use the interpreter.
fn is_left_behind() -> bool {
    ENDING.load(Ordering::SeqCst) && ENDED_BY.get().is_some_and(|thread| *thread != thread::current().id())
}

/// Lets the GIL go for as long as something runs.
///
/// A thread that wants it back while the interpreter ends stays here for the moment that is left: see `stay.c`.
pub(crate) fn detached<T: Send>(py: Python<'_>, run: impl FnOnce() -> T + Send) -> T {
    let (done, within) = py.detach(|| {
        let done = run();
        loop {
            match Within::begin() {
                Some(within) => return (done, within),
                None => thread::park(),
            }
        }
    });
    drop(within);
    done
}

/// Calls into Python from a place that has no GIL, or none for sure. `None` where the interpreter is about to end: nobody is
/// there to be asked.
pub(crate) fn attached<T>(call: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let _within = Within::begin()?;
    let is_known = is_known_thread();
    Python::try_attach(|py| {
        let answer = call(py);
        // On a thread of the breaker's own there is nobody above to whom anything could be let through.
        if !is_known && let Err(left) = let_through() {
            tell(py, "a callback", left);
        }
        answer
    })
}

/// Holds up the interpreter's end.
struct Within;

impl Within {
    fn begin() -> Option<Self> {
        WITHIN.fetch_add(1, Ordering::SeqCst);
        let within = Self;
        if is_left_behind() { None } else { Some(within) }
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        WITHIN.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The interpreter is about to end, by this thread: other threads take the GIL no more here, and those that are at it, or in a
/// callback, are waited for, up to a second.
#[pyfunction]
pub(crate) fn leave_interpreter(py: Python<'_>) {
    let _ = ENDED_BY.set(thread::current().id());
    ENDING.store(true, Ordering::SeqCst);
    let began = Instant::now();
    py.detach(|| {
        while WITHIN.load(Ordering::SeqCst) > 0 && began.elapsed() < LEAVE_WAIT_MAX {
            thread::sleep(Duration::from_millis(1));
        }
    });
}
