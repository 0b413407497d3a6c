//! A permit and a late score's place, as Python holds them: values that any thread may use, and that may be dropped at any time.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use softfuse::{Breaker, Effect, LateScores, OutcomeKind, Permit as HostPermit, Rejected, Score, StateChange, Time};

use crate::current::{Said, began, score_of};
use crate::ends::{outcome_of, settle};
use crate::hooks::{Caller, Ended};
use crate::python::{attached, bridge, detached, error, let_through, unlocked};
use crate::raw::call;
use crate::reporter::Reporter;
use crate::values::{effect_name, state_change, time_of};

type Guard<'a, T> = std::sync::MutexGuard<'a, T>;

/// The right to one call. `record` says how it ended, once; one that is dropped counts as cancelled, which is neutral.
#[pyclass(frozen, weakref, module = "softfuse")]
pub(crate) struct Permit {
    /// Held for a few instructions, never while Python or a breaker's lock is waited for.
    phase: std::sync::Mutex<Phase>,
    breaker: Breaker,
    caller: Option<Py<Caller>>,
    thread: u64,
    serial: AtomicU64,
    /// When the call ended, where that was before its scoring.
    ended: AtomicI64,
    is_locked: bool,
}

/// What has come of a guarded call.
struct Ending {
    kind: OutcomeKind,
    score: Option<Score>,
    /// The fallback is to take its place: it has failed and opened the circuit, or was answered badly.
    is_replaced: bool,
}

impl Ending {
    fn told(&self) -> (&'static str, Option<f64>, bool) {
        (self.kind.as_str(), self.score.map(Score::get), self.is_replaced)
    }
}

/// [`Permit::ended`]: it hasn't, or it has just now.
const NOT_ENDED: i64 = i64::MIN;

enum Phase {
    UnderWay(HostPermit<'static>),
    /// Somebody is settling it.
    Ending,
    Ended(LateScores<'static>),
}

impl Permit {
    /// Asks a breaker for one.
    pub(crate) fn ask(
        py: Python<'_>,
        breaker: &Breaker,
        is_locked: bool,
        caller: Option<Py<Caller>>,
        now: Option<Time>,
    ) -> Result<Self, Box<Rejected>> {
        let now = now.unwrap_or_else(|| breaker.now());
        let permit = unlocked(py, is_locked, || breaker.permit_at(now).map(HostPermit::into_owned))?;
        let (thread, serial) = began();
        let phase = std::sync::Mutex::new(Phase::UnderWay(permit));
        let (serial, ended) = (AtomicU64::new(serial), AtomicI64::new(NOT_ENDED));
        Ok(Self { phase, breaker: breaker.clone(), caller, thread, serial, ended, is_locked })
    }

    fn phase(&self) -> Guard<'_, Phase> {
        // Nothing that can panic is done under it.
        self.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Where its call began: the thread's number, and its place in that thread's order.
    pub(crate) fn began(&self) -> (u64, u64) {
        (self.thread, self.serial.load(Ordering::Relaxed))
    }

    /// Hands in a score: before the call's end it goes into its outcome, afterwards it is a late one.
    pub(crate) fn report(&self, py: Python<'_>, score: Score, now: Option<Time>) -> PyResult<&'static str> {
        let late = match &mut *self.phase() {
            Phase::UnderWay(permit) => {
                // It is a score, so it is taken.
                let _ = permit.report_quality(score.get());
                return Ok("kept");
            }
            // It comes while another thread settles the call, so too late for that and too early for anything else.
            Phase::Ending => return Ok("ignored"),
            Phase::Ended(late) => late.clone(),
        };
        let now = now.unwrap_or_else(|| self.breaker.now());
        let reported = unlocked(py, self.is_locked, || late.report_quality_at(score.get(), now));
        let_through()?;
        Ok(reported.map_or("ignored", |(effect, _)| effect_name(effect)))
    }

    fn take(&self, py: Python<'_>) -> PyResult<HostPermit<'static>> {
        let mut phase = self.phase();
        match std::mem::replace(&mut *phase, Phase::Ending) {
            Phase::UnderWay(permit) => Ok(permit),
            other => {
                *phase = other;
                drop(phase);
                Err(error(py, "PermitSettled", (&**self.breaker.name(),)))
            }
        }
    }

    /// Ends a guarded call by what it came to: `scored` is what the scorer said, where it was asked already.
    fn end(
        &self,
        py: Python<'_>,
        result: Result<&Bound<'_, PyAny>, &PyErr>,
        scored: Option<Option<Score>>,
    ) -> PyResult<Ending> {
        let ended = match self.ended.load(Ordering::Relaxed) {
            NOT_ENDED => self.breaker.now(),
            nanos => Time::from_nanos(nanos),
        };
        let permit = self.take(py)?;
        // Only a guarded call's is ended so; any other is dropped here, which is neutral.
        let cancelled = Ending { kind: OutcomeKind::Cancelled, score: None, is_replaced: false };
        let Some(caller) = &self.caller else { return Ok(cancelled) };
        let said = Said { score: f64::NAN, reporter: None };
        let Ended { settled, kind, score, is_bad } = caller.get().end(py, permit, result, said, ended, scored);
        let is_replaced = if result.is_ok() { is_bad } else { settled.tripped() };
        *self.phase() = Phase::Ended(settled.late);
        let_through()?;
        Ok(Ending { kind, score, is_replaced })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let phase = self.phase.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Phase::UnderWay(permit) = std::mem::replace(phase, Phase::Ending) {
            drop_unlocked(self.is_locked, permit);
        }
    }
}

/// Drops what may record something by that.
pub(crate) fn drop_unlocked<T: Send>(locked: bool, dropped: T) {
    let mut dropped = Some(dropped);
    if locked {
        attached(|py| detached(py, || drop(dropped.take())));
    }
    // While Python ends nobody waits for it.
    drop(dropped);
}

#[pymethods]
impl Permit {
    /// The breaker's name.
    #[getter]
    fn name(&self) -> &str {
        self.breaker.name()
    }

    /// Says how good the answer is. Before the call's end the last report counts; after it each is a late score. Returns what
    /// became of it: `kept`, `recorded`, `stale` and so on.
    #[pyo3(signature = (score, *, now_ns = None))]
    fn report_quality(&self, score: &Bound<'_, PyAny>, now_ns: Option<i64>) -> PyResult<&'static str> {
        self.report(score.py(), score_of(score)?, now_ns.map(Time::from_nanos))
    }

    /// Takes this call's score at any time, from any thread.
    pub(crate) fn reporter(&self, py: Python<'_>) -> PyResult<Py<Reporter>> {
        match &mut *self.phase() {
            Phase::UnderWay(permit) => Reporter::of(permit.reporter(), self.is_locked),
            Phase::Ending => Reporter::to_come(f64::NAN),
            Phase::Ended(late) => Reporter::late(late.clone(), self.is_locked),
        }
        .into_py(py)
    }

    /// Says how the call ended: `outcome` is the package's own tuple of kind, latency, score, pending and Retry-After.
    fn record<'py>(&self, outcome: &Bound<'py, PyAny>, now_ns: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        let py = outcome.py();
        let outcome = outcome_of(outcome)?;
        let ended = time_of(now_ns, &self.breaker);
        let permit = self.take(py)?;
        let settled = settle(py, self.is_locked, None, permit, outcome, ended);
        let change = change_of(py, &self.breaker, settled.change.as_deref())?;
        *self.phase() = Phase::Ended(settled.late.clone());
        let_through()?;
        let late = Py::new(py, Late { late: settled.late, is_locked: self.is_locked })?;
        let latency = u64::try_from(settled.latency.as_nanos()).unwrap_or(u64::MAX);
        call(bridge(py)?.settled.bind(py), (effect_name(settled.effect), change, latency, late), None)
    }

    /// Ends a guarded call with its answer: whether the fallback is to take the answer's place. `scored`: the scorer was asked
    /// already, and said `score`.
    #[pyo3(signature = (answer, *, scored = false, score = None))]
    fn succeed(&self, answer: &Bound<'_, PyAny>, scored: bool, score: Option<f64>) -> PyResult<bool> {
        Ok(self.end(answer.py(), Ok(answer), said_already(scored, score))?.is_replaced)
    }

    /// [`succeed`](Self::succeed), with all that came of it: what it counts as, its score, and whether something else is to take its
    /// place.
    #[pyo3(signature = (answer, *, scored = false, score = None))]
    fn end_with(
        &self,
        answer: &Bound<'_, PyAny>,
        scored: bool,
        score: Option<f64>,
    ) -> PyResult<(&'static str, Option<f64>, bool)> {
        Ok(self.end(answer.py(), Ok(answer), said_already(scored, score))?.told())
    }

    /// Ends a guarded call with what it raised: whether the fallback is to take its place.
    fn fail(&self, raised: Bound<'_, PyAny>) -> PyResult<bool> {
        let py = raised.py();
        Ok(self.end(py, Err(&PyErr::from_value(raised)), None)?.is_replaced)
    }

    /// [`fail`](Self::fail): what it counts as.
    fn end_by(&self, raised: Bound<'_, PyAny>) -> PyResult<&'static str> {
        let py = raised.py();
        Ok(self.end(py, Err(&PyErr::from_value(raised)), None)?.kind.as_str())
    }

    /// The call has ended, and only its scoring is under way: that time isn't the call's.
    fn mark_end(&self) {
        self.ended.store(self.breaker.now().as_nanos(), Ordering::Relaxed);
    }

    /// Whether a score was reported.
    fn has_score(&self) -> bool {
        matches!(&*self.phase(), Phase::UnderWay(permit) if permit.reported().is_some())
    }

    /// The call goes on in this thread from here: a generator that is entered again.
    fn resume(&self) {
        let (thread, serial) = began();
        if thread == self.thread {
            self.serial.store(serial, Ordering::Relaxed);
        }
    }

    fn __repr__(&self) -> String {
        format!("<Permit of {:?}>", &**self.breaker.name())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.caller)
    }
}

/// What the scorer said, where it was asked already.
fn said_already(scored: bool, score: Option<f64>) -> Option<Option<Score>> {
    scored.then(|| score.and_then(|score| Score::new(score).ok()))
}

/// A change of state with its breaker's name, as Python sees it.
fn change_of<'py>(
    py: Python<'py>,
    breaker: &Breaker,
    change: Option<&StateChange>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    change.map(|change| state_change(py, breaker.name(), change)).transpose()
}

/// Takes scores that come after the call's end. Each is a sample of its own.
#[pyclass(frozen, module = "softfuse", name = "LateScores")]
pub(crate) struct Late {
    late: LateScores<'static>,
    is_locked: bool,
}

impl Late {
    fn told<'py>(
        &self,
        py: Python<'py>,
        (effect, change): (Effect, Option<Box<StateChange>>),
    ) -> PyResult<(&'static str, Option<Bound<'py, PyAny>>)> {
        Ok((effect_name(effect), change_of(py, self.late.breaker(), change.as_deref())?))
    }
}

#[pymethods]
impl Late {
    /// Hands in a score: what became of it, and the change of state that it made. `stale`: the circuit has changed its state
    /// since, and the score is not wanted.
    #[pyo3(signature = (score, *, now_ns = None))]
    fn report_quality<'py>(
        &self,
        score: &Bound<'py, PyAny>,
        now_ns: Option<i64>,
    ) -> PyResult<(&'static str, Option<Bound<'py, PyAny>>)> {
        let py = score.py();
        let number = score_of(score)?.get();
        let now = time_of(now_ns, self.late.breaker());
        let reported = unlocked(py, self.is_locked, || self.late.report_quality_at(number, now));
        let_through()?;
        match reported {
            Ok(reported) => self.told(py, reported),
            Err(invalid) => Err(error(py, "InvalidScore", (number, invalid.to_string()))),
        }
    }

    /// Says that no score will come, for an outcome whose score was pending.
    #[pyo3(signature = (*, now_ns = None))]
    fn report_missing<'py>(
        &self,
        py: Python<'py>,
        now_ns: Option<i64>,
    ) -> PyResult<(&'static str, Option<Bound<'py, PyAny>>)> {
        let now = time_of(now_ns, self.late.breaker());
        let reported = unlocked(py, self.is_locked, || self.late.report_missing_at(now));
        let_through()?;
        self.told(py, reported)
    }
}
