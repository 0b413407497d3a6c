//! Reporters: where a call's score is reported from any thread, during the call or long after it.

use pyo3::prelude::*;
use softfuse::{LateScores, Reported, Score};

use crate::current::score_of;
use crate::hooks::is_locked;
use crate::permit::drop_unlocked;
use crate::python::{let_through, unlocked};
use crate::values::effect_name;

type Guard<'a, T> = std::sync::MutexGuard<'a, T>;

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

    pub(crate) fn of(reporter: softfuse::Reporter, is_locked: bool) -> Self {
        Self { inner: std::sync::Mutex::new(Reporting::Real(reporter, is_locked)) }
    }

    pub(crate) fn late(late: LateScores<'static>, is_locked: bool) -> Self {
        Self { inner: std::sync::Mutex::new(Reporting::Late(late, is_locked)) }
    }

    pub(crate) fn into_py(self, py: Python<'_>) -> PyResult<Py<Self>> {
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
        let became = unlocked(py, locked, || match to {
            To::Reporter(reporter) => match reporter.report_quality(score.get()) {
                Ok(Reported::Late { effect, .. }) => effect_name(effect),
                Ok(Reported::Kept) | Err(_) => "kept",
            },
            To::Late(late) => late.report_quality(score.get()).map_or("ignored", |(effect, _)| effect_name(effect)),
        });
        let_through()?;
        Ok(became)
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
    fn report_missing(&self, py: Python<'_>) -> PyResult<()> {
        let (reporter, locked) = match &*self.inner() {
            Reporting::Real(reporter, locked) => (reporter.clone(), *locked),
            Reporting::ToCome(_) | Reporting::Late(..) => return Ok(()),
        };
        unlocked(py, locked, || {
            reporter.report_missing();
            drop(reporter);
        });
        let_through()
    }
}
