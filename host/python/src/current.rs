//! Which guarded call is under way, so that `report_quality` finds it.
//!
//! A call of an ordinary function keeps its place in a cell of its thread, which costs a few nanoseconds; a context variable would
//! cost more than the whole breaker.
//! A coroutine, a generator or a `with` block may be left and entered again, so those keep theirs in a context variable. Where
//! both are about, the one that began later on this thread is the inner one.
//!
//! Greenlets change places within an ordinary function, too. Where the module `greenlet` is loaded, functions are wrapped so that every
//! call uses the context variable, of which each greenlet has its own.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyBool;
use softfuse::Score;

use crate::permit::Permit;
use crate::python::{bridge, error};
use crate::reporter::Reporter;

static THREADS: AtomicU64 = AtomicU64::new(1);

/// The innermost call of an ordinary function on a thread.
struct Top {
    /// Which of the thread's calls it is; 0: none.
    serial: Cell<u64>,
    /// The last that was given out.
    issued: Cell<u64>,
    /// The score that was reported last; NaN: none.
    score: Cell<f64>,
    /// Whether a reporter was asked for, which has the score then.
    has_reporter: Cell<bool>,
    /// The thread's number; 0: not given yet.
    thread: Cell<u64>,
}

thread_local! {
    static TOP: Top = const {
        Top {
            serial: Cell::new(0),
            issued: Cell::new(0),
            score: Cell::new(f64::NAN),
            has_reporter: Cell::new(false),
            thread: Cell::new(0),
        }
    };
    /// Reporters of the calls under way that were asked for one, the innermost last.
    static REPORTERS: RefCell<Vec<Py<Reporter>>> = const { RefCell::new(Vec::new()) };
}

/// The outer call, for as long as an inner one lasts.
pub(crate) struct Outer {
    serial: u64,
    score: f64,
    has_reporter: bool,
}

/// What was said during a call.
pub(crate) struct Said {
    /// NaN: nothing.
    pub(crate) score: f64,
    /// Who has asked for the call's reporter has it.
    pub(crate) reporter: Option<Py<Reporter>>,
}

/// Begins a call of an ordinary function.
#[inline(always)]
pub(crate) fn enter() -> Outer {
    TOP.with(|top| {
        let serial = top.issued.get() + 1;
        top.issued.set(serial);
        Outer {
            serial: top.serial.replace(serial),
            score: top.score.replace(f64::NAN),
            has_reporter: top.has_reporter.replace(false),
        }
    })
}

/// Ends it.
#[inline(always)]
pub(crate) fn leave(outer: Outer) -> Said {
    TOP.with(|top| {
        top.serial.set(outer.serial);
        let score = top.score.replace(outer.score);
        if top.has_reporter.replace(outer.has_reporter) {
            // What was said before the reporter was asked for went along with it.
            return Said { score: f64::NAN, reporter: REPORTERS.with_borrow_mut(Vec::pop) };
        }
        Said { score, reporter: None }
    })
}

/// Where a call that lives in a context began: the thread and the place in its order.
pub(crate) fn began() -> (u64, u64) {
    TOP.with(|top| {
        if top.thread.get() == 0 {
            top.thread.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        let serial = top.issued.get() + 1;
        top.issued.set(serial);
        (top.thread.get(), serial)
    })
}

/// A Python number as a score.
pub(crate) fn score_of(score: &Bound<'_, PyAny>) -> PyResult<Score> {
    let py = score.py();
    if score.is_instance_of::<PyBool>() {
        let message = "a quality score must be a real number, not bool";
        return Err(pyo3::exceptions::PyTypeError::new_err(message));
    }
    let number: f64 = score.extract().map_err(|raised: PyErr| {
        if !raised.is_instance_of::<pyo3::exceptions::PyTypeError>(py) {
            return raised;
        }
        let class = score.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        pyo3::exceptions::PyTypeError::new_err(format!("a quality score must be a real number, not {class}"))
    })?;
    Score::new(number).map_err(|invalid| error(py, "InvalidScore", (number, invalid.to_string())))
}

/// Who takes a call's scores.
enum Place<'py> {
    /// The innermost call of an ordinary function on this thread.
    Top,
    /// A call that lives in the context.
    Context(Bound<'py, Permit>),
}

fn place(py: Python<'_>) -> PyResult<Option<Place<'_>>> {
    let (serial, issued, thread) = TOP.with(|top| (top.serial.get(), top.issued.get(), top.thread.get()));
    if serial != 0 && serial == issued {
        return Ok(Some(Place::Top));
    }
    let found = bridge(py)?.call.bind(py).call_method0("get")?;
    let in_context = if found.is_none() { None } else { Some(found.cast_into::<Permit>()?) };
    Ok(match in_context {
        Some(permit) => {
            let (its_thread, its_serial) = permit.get().began();
            // One that began on another thread came along with a copied context: what this thread has begun is within it.
            let is_inner = serial == 0 || (its_thread == thread && its_serial > serial);
            Some(if is_inner { Place::Context(permit) } else { Place::Top })
        }
        None => (serial != 0).then_some(Place::Top),
    })
}

/// Says how good the answer of the guarded call under way is: finite, by convention from 0 (worthless) to 1 (good). The last
/// report before the call ends counts, and it wins over a `score_fn` and a scorer. Returns whether there is a call; outside of one nothing happens.
///
/// It raises `TypeError` for what is no number, and `InvalidScore` (a `ValueError`) for NaN, the infinities and numbers over 10^6.
#[pyfunction]
pub(crate) fn report_quality(score: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = score.py();
    let said = score_of(score)?;
    let plain = TOP.with(|top| {
        let plain = top.serial.get() != 0 && top.serial.get() == top.issued.get() && !top.has_reporter.get();
        if plain {
            top.score.set(said.get());
        }
        plain
    });
    if plain {
        return Ok(true);
    }
    match place(py)? {
        None => return Ok(false),
        Some(Place::Context(permit)) => drop(permit.get().report(py, said, None)?),
        Some(Place::Top) if TOP.with(|top| top.has_reporter.get()) => {
            let reporter = REPORTERS.with_borrow(|reporters| reporters.last().map(|last| last.clone_ref(py)));
            if let Some(reporter) = reporter {
                reporter.get().report(py, said)?;
            }
        }
        Some(Place::Top) => TOP.with(|top| top.score.set(said.get())),
    }
    Ok(true)
}

/// The reporter of the guarded call under way, which takes its score at any time and from any thread: during the call or
/// long after it. `None` outside of one.
#[pyfunction]
pub(crate) fn call_reporter(py: Python<'_>) -> PyResult<Option<Py<Reporter>>> {
    match place(py)? {
        None => Ok(None),
        Some(Place::Context(permit)) => Permit::reporter(permit.get(), py).map(Some),
        Some(Place::Top) => {
            if TOP.with(|top| top.has_reporter.get()) {
                return Ok(REPORTERS.with_borrow(|reporters| reporters.last().map(|last| last.clone_ref(py))));
            }
            let reporter = Py::new(py, Reporter::to_come(TOP.with(|top| top.score.get())))?;
            REPORTERS.with_borrow_mut(|reporters| reporters.push(reporter.clone_ref(py)));
            TOP.with(|top| top.has_reporter.set(true));
            Ok(Some(reporter))
        }
    }
}
