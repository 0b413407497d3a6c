//! Scorers: components that say how good an answer is, asked with the GIL let go.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use softfuse::{
    Body, Builtin, Exchange, ExchangeHead, Score, ScoreOutcome, ScorerError, ScorerSettings, Scoring, ScoringSettings,
};

use crate::python::{detached, error, problem};
use crate::registry::engine;
use crate::values::span_of;

/// A scorer, with threads of its own for answers that are scored beside their calls; they start with the first.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Scorer {
    scorer: softfuse::Scorer,
    scoring: PyOnceLock<Scoring>,
    settings: ScoringSettings,
}

impl Scorer {
    /// Its threads. Where they can't be started there is no score, which is logged; the next answer tries again.
    pub(crate) fn scoring(&self, py: Python<'_>) -> Option<&Scoring> {
        let started = self.scoring.get_or_try_init(py, || Scoring::start(self.scorer.clone(), self.settings.clone()));
        started.map_err(|failed| self.failed(py, &format!("its threads can't be started: {failed}"))).ok()
    }

    /// Tells the log why there is no score.
    fn failed(&self, py: Python<'_>, why: &str) {
        problem(py, "a scorer", error(py, "ScorerError", (format!("{}: {why}", self.scorer.name()),)));
    }

    /// Scores an exchange on this thread. Its failure is no score, and is logged.
    pub(crate) fn score_now(&self, py: Python<'_>, exchange: &Exchange) -> Option<Score> {
        let outcome = detached(py, || self.scorer.score(exchange));
        if let ScoreOutcome::Failed(failure) = &outcome {
            self.failed(py, &failure.to_string());
        }
        outcome.score()
    }
}

/// Settings by name: the scorer's, and those of its threads.
fn settings_of(given: &Bound<'_, PyDict>) -> PyResult<(ScorerSettings, ScoringSettings)> {
    let (mut scorer, mut scoring) = (ScorerSettings::default(), ScoringSettings::default());
    for (name, value) in given {
        let name: String = name.extract()?;
        match name.as_str() {
            "config" => scorer.config = value.extract()?,
            "deadline_ns" => scorer.deadline = span_of(value.extract()?),
            "start_deadline_ns" => scorer.start_deadline = span_of(value.extract()?),
            "memory_bytes_max" => scorer.memory_bytes_max = value.extract()?,
            "output_bytes_max" => scorer.output_bytes_max = value.extract()?,
            "fresh" => scorer.fresh = value.extract()?,
            "instances_max" => scorer.instances_max = value.extract()?,
            "workers" => scoring.workers = value.extract()?,
            "queue_max" => scoring.queue_max = value.extract()?,
            "wait_max_ns" => scoring.wait_max = span_of(value.extract()?),
            "answer_bytes_max" => scoring.answer_bytes_max = value.extract()?,
            other => {
                let message = format!("there is no setting '{other}' of a scorer");
                return Err(pyo3::exceptions::PyTypeError::new_err(message));
            }
        }
    }
    Ok((scorer, scoring))
}

fn made(py: Python<'_>, made: Result<softfuse::Scorer, ScorerError>, settings: ScoringSettings) -> PyResult<Scorer> {
    let scorer = made.map_err(|failed| error(py, "ScorerError", (failed.to_string(),)))?;
    Ok(Scorer { scorer, scoring: PyOnceLock::new(), settings })
}

/// An exchange as the package's Python side says it: operation, model, the request, metadata, the answer; the two as content type, bytes,
/// and whether something is missing at their end.
pub(crate) fn exchange_of(said: &Bound<'_, PyAny>) -> PyResult<Exchange> {
    type Shown = (String, Vec<u8>, bool);
    let (operation, model, request, metadata, answer): (String, String, Shown, Vec<(String, String)>, Shown) =
        said.extract()?;
    let body = |(content_type, bytes, truncated): Shown| Body { truncated, ..Body::new(&content_type, bytes) };
    let head = ExchangeHead { operation, model, request: body(request), metadata };
    Ok(Exchange { head, answer: body(answer) })
}

#[pymethods]
impl Scorer {
    /// One that comes with the package, by its name.
    #[staticmethod]
    fn builtin(py: Python<'_>, name: &str, settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let Some(builtin) = Builtin::named(name) else {
            let names = Builtin::ALL.map(Builtin::name).join(", ");
            let message = format!("there is no built-in scorer '{name}'; there are {names}");
            return Err(pyo3::exceptions::PyValueError::new_err(message));
        };
        let (engine, (scorer, scoring)) = (engine(py)?, settings_of(settings)?);
        made(py, detached(py, || softfuse::Scorer::builtin(engine, builtin, scorer)), scoring)
    }

    #[staticmethod]
    fn from_file(py: Python<'_>, path: PathBuf, settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let (engine, (scorer, scoring)) = (engine(py)?, settings_of(settings)?);
        made(py, detached(py, || softfuse::Scorer::from_file(engine, &path, scorer)), scoring)
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, name: &str, bytes: Vec<u8>, settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let (engine, (scorer, scoring)) = (engine(py)?, settings_of(settings)?);
        made(py, detached(py, || softfuse::Scorer::from_bytes(engine, name, &bytes, scorer)), scoring)
    }

    #[getter]
    fn name(&self) -> &str {
        self.scorer.name()
    }

    /// Scores an exchange on this thread: the score, and where there is none what it came to, in a word and in words.
    fn score(&self, exchange: &Bound<'_, PyAny>) -> PyResult<(Option<f64>, &'static str, String)> {
        let (py, exchange) = (exchange.py(), exchange_of(exchange)?);
        Ok(match detached(py, || self.scorer.score(&exchange)) {
            ScoreOutcome::Score(score) => (Some(score.get()), "score", String::new()),
            ScoreOutcome::Abstained(why) => (None, "abstained", why),
            ScoreOutcome::Failed(failure) => (None, failure.as_str(), failure.to_string()),
        })
    }

    /// Answers that wait for their score beside their calls.
    fn waiting(&self, py: Python<'_>) -> usize {
        self.scoring.get(py).map_or(0, Scoring::waiting)
    }
}
