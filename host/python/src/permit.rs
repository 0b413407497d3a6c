//! A permit, a late score's place and a reporter, as Python holds them: values that any thread may use, and that may be dropped at any time.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use softfuse::{Breaker, Effect, LateScores, Permit as HostPermit, Rejected, Reported, Score, StateChange, Time};

use crate::current::{Said, began, score_of};
use crate::ends::{outcome_of, settle};
use crate::hooks::{Caller, Ended, is_locked};
use crate::python::{attached, bridge, detached, error, unlocked};
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

    /// Ends a guarded call by what it came to: whether the fallback is to take its place.
    pub(crate) fn end(
        &self,
        py: Python<'_>,
        result: Result<&Bound<'_, PyAny>, &PyErr>,
        scored: Option<Option<Score>>,
    ) -> PyResult<bool> {
        let ended = match self.ended.load(Ordering::Relaxed) {
            NOT_ENDED => self.breaker.now(),
            nanos => Time::from_nanos(nanos),
        };
        let permit = self.take(py)?;
        let Some(caller) = &self.caller else { return Ok(false) };
        let said = Said { score: f64::NAN, reporter: None };
        let Ended { settled, is_bad } = caller.get().end(py, permit, result, said, ended, scored)?;
        let replaced = if result.is_ok() { is_bad } else { settled.tripped() };
        *self.phase() = Phase::Ended(settled.late);
        Ok(replaced)
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
fn drop_unlocked<T: Send>(locked: bool, dropped: T) {
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
        let late = Py::new(py, Late { late: settled.late, is_locked: self.is_locked })?;
        let latency = u64::try_from(settled.latency.as_nanos()).unwrap_or(u64::MAX);
        bridge(py)?.settled.bind(py).call1((effect_name(settled.effect), change, latency, late))
    }

    /// Ends a guarded call with its answer: whether the fallback is to take the answer's place. `scored`: the scorer was asked
    /// already, and said `score`.
    #[pyo3(signature = (answer, *, scored = false, score = None))]
    fn succeed(&self, answer: &Bound<'_, PyAny>, scored: bool, score: Option<f64>) -> PyResult<bool> {
        let scored = scored.then(|| score.and_then(|score| Score::new(score).ok()));
        self.end(answer.py(), Ok(answer), scored)
    }

    /// Ends a guarded call with what it raised: whether the fallback is to take its place.
    fn fail(&self, raised: Bound<'_, PyAny>) -> PyResult<bool> {
        let py = raised.py();
        self.end(py, Err(&PyErr::from_value(raised)), None)
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
        self.told(py, reported)
    }
}

/// Takes a call's score at any time and from any thread: during the call or long after it. Where the call's score is owed
/// (its outcome was `pending`) and the last reporter goes without having reported, it is reported as missing.
#[pyclass(frozen, weakref, module = "softfuse")]
pub(crate) struct Reporter {
    inner: std::sync::Mutex<Reporting>,
}

enum Reporting {
    /// Of a call under way whose permit is out of reach: the score that was reported last.
    ToCome(f64),
    Real(softfuse::Reporter, bool),
    Late(LateScores<'static>, bool),
}

impl Reporter {
    pub(crate) const fn to_come(score: f64) -> Self {
        Self { inner: std::sync::Mutex::new(Reporting::ToCome(score)) }
    }

    fn of(reporter: softfuse::Reporter, is_locked: bool) -> Self {
        Self { inner: std::sync::Mutex::new(Reporting::Real(reporter, is_locked)) }
    }

    fn late(late: LateScores<'static>, is_locked: bool) -> Self {
        Self { inner: std::sync::Mutex::new(Reporting::Late(late, is_locked)) }
    }

    fn into_py(self, py: Python<'_>) -> PyResult<Py<Self>> {
        Py::new(py, self)
    }

    fn inner(&self) -> Guard<'_, Reporting> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The score that was reported so far, of a call whose permit was out of reach.
    pub(crate) fn so_far(&self) -> Option<Score> {
        match &*self.inner() {
            Reporting::ToCome(score) => Score::new(*score).ok(),
            Reporting::Real(reporter, _) => reporter.reported(),
            Reporting::Late(..) => None,
        }
    }

    /// The call ends, and its permit is at hand.
    pub(crate) fn comes_true(&self, reporter: softfuse::Reporter) {
        let is_locked = is_locked(reporter.breaker());
        let mut inner = self.inner();
        if let Reporting::ToCome(score) = &*inner {
            // NaN, which is no score, is none.
            let _ = reporter.report_quality(*score);
            *inner = Reporting::Real(reporter, is_locked);
        }
    }

    /// Hands in a score: what became of it.
    pub(crate) fn report(&self, py: Python<'_>, score: Score) -> PyResult<&'static str> {
        enum To {
            Reporter(softfuse::Reporter),
            Late(LateScores<'static>),
        }
        let (to, locked) = match &mut *self.inner() {
            Reporting::ToCome(kept) => {
                *kept = score.get();
                return Ok("kept");
            }
            Reporting::Real(reporter, locked) => (To::Reporter(reporter.clone()), *locked),
            Reporting::Late(late, locked) => (To::Late(late.clone()), *locked),
        };
        Ok(unlocked(py, locked, || match to {
            To::Reporter(reporter) => match reporter.report_quality(score.get()) {
                Ok(Reported::Late { effect, .. }) => effect_name(effect),
                Ok(Reported::Kept) | Err(_) => "kept",
            },
            To::Late(late) => late.report_quality(score.get()).map_or("ignored", |(effect, _)| effect_name(effect)),
        }))
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Reporting::Real(reporter, locked) = std::mem::replace(inner, Reporting::ToCome(f64::NAN)) {
            drop_unlocked(locked, reporter);
        }
    }
}

#[pymethods]
impl Reporter {
    /// Says how good the answer is: before the call's end the last report counts, after it each is a late score. Returns
    /// what became of it: `kept`, `recorded`, `probed`, `ignored`, `stale`, `pending` or `lost`.
    fn report_quality(&self, score: &Bound<'_, PyAny>) -> PyResult<&'static str> {
        self.report(score.py(), score_of(score)?)
    }

    /// Says that no score will come. It counts where the call has ended and its score is owed.
    fn report_missing(&self, py: Python<'_>) {
        let (reporter, locked) = match &*self.inner() {
            Reporting::Real(reporter, locked) => (reporter.clone(), *locked),
            Reporting::ToCome(_) | Reporting::Late(..) => return,
        };
        unlocked(py, locked, || {
            reporter.report_missing();
            drop(reporter);
        });
    }
}
