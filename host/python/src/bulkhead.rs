//! Bulkheads, for threads and for event loops: whoever waits holds no GIL and keeps its place in the queue.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use pyo3::prelude::*;
use softfuse::{BulkheadError, BulkheadSettings};

use crate::python::{attached, detached, error, problem};
use crate::raw::call;
use crate::values::span_of;

/// How often a thread that waits looks whether it was interrupted (Ctrl-C).
const LOOK_EVERY: Duration = Duration::from_millis(50);

type Entry = Result<softfuse::Place, BulkheadError>;

/// Bounds how many calls of one operation are made at once.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Bulkhead(softfuse::Bulkhead);

/// One of the calls that are made at once. Its place is free when it is released or dropped.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Place(Mutex<Option<softfuse::Place>>);

#[pymethods]
impl Place {
    fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A task that waits for its place.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Entering(Mutex<Option<Pin<Box<dyn Future<Output = Entry> + Send>>>>);

struct WakeThread(Thread);

impl Wake for WakeThread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Calls a function, which wakes an event loop.
struct WakeLoop(Py<PyAny>);

impl Wake for WakeLoop {
    fn wake(self: Arc<Self>) {
        attached(|py| {
            if let Err(raised) = call(self.0.bind(py), (), None) {
                problem(py, "waking a task that waits for a bulkhead's place", raised);
            }
        });
    }
}

fn placed(py: Python<'_>, entry: Entry) -> PyResult<Place> {
    match entry {
        Ok(place) => Ok(Place(Mutex::new(Some(place)))),
        Err(refused) => {
            let (class, name) = match &refused {
                BulkheadError::Full { bulkhead, .. } => ("BulkheadFull", bulkhead),
                BulkheadError::TimedOut { bulkhead, .. } => ("BulkheadTimeout", bulkhead),
                _ => return Err(error(py, "BulkheadError", ("", refused.to_string()))),
            };
            Err(error(py, class, (&**name, refused.to_string())))
        }
    }
}

#[pymethods]
impl Bulkhead {
    #[new]
    fn new(name: &str, concurrent_max: usize, queue_max: usize, queue_timeout_ns: u64) -> PyResult<Self> {
        let queue_timeout = span_of(queue_timeout_ns);
        let made = softfuse::Bulkhead::new(name, BulkheadSettings { concurrent_max, queue_max, queue_timeout });
        made.map(Self).map_err(|invalid| pyo3::exceptions::PyValueError::new_err(invalid.to_string()))
    }

    /// The presets' bounds: calls at once, callers that wait, for how long.
    #[staticmethod]
    fn preset(name: &str) -> PyResult<(usize, usize, u64)> {
        let BulkheadSettings { concurrent_max, queue_max, queue_timeout } = match name {
            "chat" => BulkheadSettings::CHAT,
            "embeddings" => BulkheadSettings::EMBEDDINGS,
            "tools" => BulkheadSettings::TOOLS,
            other => {
                let message = format!("there is no preset '{other}' of bulkheads; there are chat, embeddings, tools");
                return Err(pyo3::exceptions::PyValueError::new_err(message));
            }
        };
        Ok((concurrent_max, queue_max, crate::values::nanos_of(queue_timeout)))
    }

    /// Calls under way, callers that wait, those that were refused, those that waited in vain.
    fn counts(&self) -> (usize, usize, u64, u64) {
        let counts = self.0.counts();
        (counts.in_use, counts.waiting, counts.refused, counts.timed_out)
    }

    fn try_enter(&self, py: Python<'_>) -> PyResult<Place> {
        placed(py, self.0.try_enter())
    }

    /// Takes a place, waiting for it on this thread.
    fn enter(&self, py: Python<'_>, timeout_ns: Option<u64>) -> PyResult<Place> {
        let timeout = timeout_ns.map_or(self.0.settings().queue_timeout, span_of);
        let mut entering = pin!(self.0.enter_timeout_async(timeout));
        let waker = Waker::from(Arc::new(WakeThread(thread::current())));
        loop {
            let polled = detached(py, || {
                let polled = entering.as_mut().poll(&mut Context::from_waker(&waker));
                if polled.is_pending() {
                    thread::park_timeout(LOOK_EVERY);
                }
                polled
            });
            match polled {
                Poll::Ready(entry) => return placed(py, entry),
                Poll::Pending => py.check_signals()?,
            }
        }
    }

    /// Begins to wait for a place, in a task.
    fn entering(&self, timeout_ns: Option<u64>) -> Entering {
        let bulkhead = self.0.clone();
        let timeout = timeout_ns.map_or(self.0.settings().queue_timeout, span_of);
        Entering(Mutex::new(Some(Box::pin(async move { bulkhead.enter_timeout_async(timeout).await }))))
    }
}

#[pymethods]
impl Entering {
    /// The place, if it is there; otherwise `wake` is called, from any thread, when it is time to ask again.
    fn poll(&self, py: Python<'_>, wake: Py<PyAny>) -> PyResult<Option<Place>> {
        let waker = Waker::from(Arc::new(WakeLoop(wake)));
        // Polled with the GIL held: it takes no time, and what it wakes doesn't wait for this.
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = waiting.as_mut() else { return Ok(None) };
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Ok(None),
            Poll::Ready(entry) => {
                *waiting = None;
                drop(waiting);
                placed(py, entry).map(Some)
            }
        }
    }

    /// Waits no more.
    fn cancel(&self) {
        let dropped = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(dropped);
    }
}
