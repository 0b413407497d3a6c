//! What a guarded call needs besides its breaker: what its end counts as, who scores it, and what is given instead.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use softfuse::{
    Breaker, Exchange, Keyed, Outcome, OutcomeKind, Permit as HostPermit, Rejected, Score, Scoring, Settled, Signal,
    Time,
};

use crate::current::{self, Said};
use crate::ends::{outcome_of, refusal, settle};
use crate::permit::Permit;
use crate::python::{bridge, error, leave, let_through, problem, unlocked};
use crate::raw::call;
use crate::scorer::{Scorer, exchange_of};
use crate::values::{kind_of, span_of};

/// Whose breaker a call goes through.
pub(crate) enum Source {
    One(Breaker),
    /// The breaker of a key, which a function makes of the call's arguments.
    Keyed(Keyed, Py<PyAny>),
}

/// A call's refusal. Its exception is made for those who look at it: that takes longer than all the rest of a refused call.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Refused(Box<Rejected>);

#[pymethods]
impl Refused {
    fn error(&self, py: Python<'_>) -> Py<PyAny> {
        refusal(py, &self.0).into_value(py).into_any()
    }
}

/// A breaker's guard for calls of one kind, for wrappers that are written in Python.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Caller {
    pub(crate) source: Source,
    score_fn: Option<Py<PyAny>>,
    classify: Option<Py<PyAny>>,
    scored_by: Option<ScoredBy>,
    /// An answer with a score under this is replaced by the fallback's.
    replace_below: Option<Score>,
    /// A success needs nobody to look at it.
    pub(crate) is_plain: bool,
    /// The breaker may be locked by somebody who waits for the GIL.
    pub(crate) is_locked: bool,
}

/// What has come of a call.
pub(crate) struct Ended<'b> {
    pub(crate) settled: Settled<'b>,
    /// What it counts as.
    pub(crate) kind: OutcomeKind,
    pub(crate) score: Option<Score>,
    /// The answer is there, and its score is under [`Caller::replace_below`].
    pub(crate) is_bad: bool,
}

/// An answer that is to be scored beside its call, and by whom.
struct Beside<'c> {
    scoring: &'c Scoring,
    exchange: Exchange,
}

/// A scorer, and how answers are shown to it.
struct ScoredBy {
    scorer: Py<Scorer>,
    /// `(answer) -> Exchange | str | bytes | ... | None`; none: as the answer is.
    exchange: Option<Py<PyAny>>,
    /// Each answer waits for its score.
    before_answer: bool,
}

impl ScoredBy {
    /// What the scorer is shown of an answer; nothing where that can't be said.
    fn exchange(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> Option<Exchange> {
        let made = || -> PyResult<Option<Exchange>> {
            let shown = call(bridge(py)?.exchange.bind(py), (self.exchange.as_ref(), value), None)?;
            if shown.is_none() { Ok(None) } else { exchange_of(&shown).map(Some) }
        };
        made().unwrap_or_else(|raised| {
            problem(py, "making an exchange of an answer", raised);
            None
        })
    }
}

/// Whether a breaker has conditions written in Python.
pub(crate) fn is_locked(breaker: &Breaker) -> bool {
    !breaker.policy().info().host_conditions.is_empty()
}

impl Caller {
    /// The breaker of the key that is made of a call's arguments.
    pub(crate) fn of_key<'py>(
        &self,
        family: &Keyed,
        key: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Breaker> {
        let py = args.py();
        let made = call(key, args, kwargs)?;
        let key: String = match made.cast_into::<PyString>() {
            Ok(text) => text.extract()?,
            Err(other) => call(py.get_type::<PyString>().as_any(), (other.into_inner(),), None)?.extract()?,
        };
        let found = unlocked(py, self.is_locked, || family.get(&key));
        found.map_err(|failed| error(py, "RegistryError", (failed.to_string(),)))
    }

    /// Settles a call that has ended. `scored` is what the scorer said, where it was asked beforehand. What a hook has left is still
    /// to be [let through](let_through).
    pub(crate) fn end<'b>(
        &self,
        py: Python<'_>,
        mut permit: HostPermit<'b>,
        result: Result<&Bound<'_, PyAny>, &PyErr>,
        said: Said,
        ended: Time,
        scored: Option<Option<Score>>,
    ) -> Ended<'b> {
        let mut outcome = self.outcome(py, result);
        let mut beside = None;
        if !matches!(outcome.signal, Signal::Score(_)) {
            // What was reported wins over a score that is made of the answer.
            let own = Score::new(said.score).ok().or_else(|| permit.reported());
            if let Some(score) = own.or_else(|| said.reporter.as_ref().and_then(|reporter| reporter.get().so_far())) {
                outcome.signal = Signal::Score(score);
            } else if let (Ok(value), OutcomeKind::Success, Signal::None) = (result, outcome.kind, outcome.signal) {
                outcome.signal = self.score(py, value).map_or(Signal::None, Signal::Score);
                if outcome.signal == Signal::None && permit.is_guarded() {
                    match scored {
                        Some(scored) => outcome.signal = scored.map_or(Signal::None, Signal::Score),
                        None => beside = self.show_scorer(py, permit.breaker(), value, &mut outcome),
                    }
                }
            }
        }
        let score = if let Signal::Score(score) = outcome.signal { Some(score) } else { None };
        if let Some(reporter) = &said.reporter {
            reporter.get().comes_true(permit.reporter());
        } else if outcome.signal == Signal::Pending && beside.is_none() {
            // Reporters owe the score then: where nobody has one it is missing at once.
            let _ = permit.reporter();
        }
        let raised = if self.is_locked { result.err().map(|error| error.value(py).clone().unbind()) } else { None };
        let kind = outcome.kind;
        let settled = settle(py, self.is_locked, raised, permit, outcome, ended);
        if let Some(Beside { scoring, exchange }) = beside {
            let late = settled.late.clone();
            unlocked(py, self.is_locked, || scoring.submit(late, exchange));
        }
        let is_bad = result.is_ok() && score.zip(self.replace_below).is_some_and(|(score, limit)| score < limit);
        Ended { settled, kind, score, is_bad }
    }

    /// Has a scorer look at an answer: now, whose score then goes into the outcome, or beside the call, by what is handed back.
    fn show_scorer(
        &self,
        py: Python<'_>,
        breaker: &Breaker,
        value: &Bound<'_, PyAny>,
        outcome: &mut Outcome,
    ) -> Option<Beside<'_>> {
        let scored_by = self.scored_by.as_ref()?;
        if !(breaker.policy().info().uses_scores || self.replace_below.is_some()) {
            return None;
        }
        let exchange = scored_by.exchange(py, value)?;
        if scored_by.before_answer {
            outcome.signal = scored_by.scorer.get().score_now(py, &exchange).map_or(Signal::None, Signal::Score);
            return None;
        }
        // Its threads first: a score is owed only where there is somebody to pay it.
        let scoring = scored_by.scorer.get().scoring(py)?;
        outcome.signal = Signal::Pending;
        Some(Beside { scoring, exchange })
    }

    /// What a call's end counts as.
    fn outcome(&self, py: Python<'_>, result: Result<&Bound<'_, PyAny>, &PyErr>) -> Outcome {
        if let Some(classify) = &self.classify {
            let classified = || -> PyResult<Option<Outcome>> {
                let shown = match result {
                    Ok(value) => (classify, Some(value), None),
                    Err(error) => (classify, None, Some(error.value(py))),
                };
                let classified = call(bridge(py)?.classified.bind(py), shown, None)?;
                if classified.is_none() { Ok(None) } else { outcome_of(&classified).map(Some) }
            };
            match classified() {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                // What is said of an answer costs nobody the answer.
                Err(raised) => problem(py, "classify", raised),
            }
        }
        let Err(raised) = result else { return Outcome::success() };
        let classified = || -> PyResult<Outcome> {
            let classified = call(bridge(py)?.classify_error.bind(py), (raised.value(py),), None)?;
            let (kind, retry_after): (String, Option<u64>) = classified.extract()?;
            let mut outcome = Outcome::new(kind_of(&kind)?);
            outcome.retry_after = retry_after.map(span_of);
            Ok(outcome)
        };
        classified().unwrap_or_else(|raised| {
            // Where there is no stack left to ask by, or no time, it is an error like any other.
            leave(py, raised);
            Outcome::new(OutcomeKind::Error)
        })
    }

    /// What the score function says of an answer. Scoring is done as well as it can be: what it raises costs nobody the answer.
    fn score(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> Option<Score> {
        let score_fn = self.score_fn.as_ref()?;
        let scored = call(score_fn.bind(py), (value,), None).and_then(|score| {
            if score.is_none() {
                return Ok(None);
            }
            let number: f64 = score.extract()?;
            Score::new(number).map(Some).map_err(|invalid| error(py, "InvalidScore", (number, invalid.to_string())))
        });
        scored.unwrap_or_else(|raised| {
            problem(py, "score_fn", raised);
            None
        })
    }
}

#[pymethods]
impl Caller {
    /// Of a breaker (`Core`), or of a family with a function that makes keys. `scored_by` a scorer, what it is shown, and whether answers wait for it.
    #[new]
    #[allow(
        clippy::too_many_arguments,
        reason = "all that a guarded call needs, said once for each decorated function"
    )]
    fn new(
        source: &Bound<'_, PyAny>,
        key: Option<Py<PyAny>>,
        score_fn: Option<Py<PyAny>>,
        classify: Option<Py<PyAny>>,
        scored_by: Option<(Py<Scorer>, Option<Py<PyAny>>, bool)>,
        replace_below: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (source, is_locked) = match key {
            Some(key) => {
                let family = source.cast::<crate::registry::Family>()?.get().family();
                let is_locked = is_locked(family.overflow());
                (Source::Keyed(family.clone(), key), is_locked)
            }
            None => {
                let breaker = source.cast::<crate::breaker::Core>()?.get().breaker();
                (Source::One(breaker.clone()), is_locked(breaker))
            }
        };
        let replace_below = replace_below.map(|limit| current::score_of(&limit)).transpose()?;
        let scored_by = scored_by.map(|(scorer, exchange, before_answer)| ScoredBy { scorer, exchange, before_answer });
        let is_plain =
            score_fn.is_none() && classify.is_none() && scored_by.is_none() && replace_below.is_none() && !is_locked;
        Ok(Self { source, score_fn, classify, scored_by, replace_below, is_plain, is_locked })
    }

    /// Asks for the right to one call with these arguments: a permit, or what makes the exception that refuses it.
    #[pyo3(signature = (args, kwargs))]
    fn admit<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let of_key;
        let breaker = match &this.source {
            Source::One(breaker) => breaker,
            Source::Keyed(family, key) => {
                of_key = this.of_key(family, key.bind(py), args, Some(kwargs))?;
                &of_key
            }
        };
        let asked = Permit::ask(py, breaker, this.is_locked, Some(slf.clone().unbind()), None);
        let_through()?;
        match asked {
            Ok(permit) => Ok(Bound::new(py, permit)?.into_any()),
            Err(rejected) => Ok(Bound::new(py, Refused(rejected))?.into_any()),
        }
    }

    /// Whether answers wait for their scorer.
    #[getter]
    fn scores_before_answer(&self) -> bool {
        self.scored_by.as_ref().is_some_and(|scored_by| scored_by.before_answer)
    }

    /// Asks the scorer of an answer, and waits for it: the score, or `None`.
    fn score_now(&self, answer: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
        let (py, Some(scored_by)) = (answer.py(), &self.scored_by) else { return Ok(None) };
        let exchange = scored_by.exchange(py, answer);
        let score = exchange.and_then(|exchange| scored_by.scorer.get().score_now(py, &exchange));
        let_through()?;
        Ok(score.map(Score::get))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Source::Keyed(_, key) = &self.source {
            visit.call(key)?;
        }
        if let Some(ScoredBy { exchange, .. }) = &self.scored_by {
            visit.call(exchange)?;
        }
        visit.call(&self.score_fn)?;
        visit.call(&self.classify)
    }
}
