//! The shared vectors: timelines of a policy, steps, and what is expected. `tests/vectors/README.md` explains the format.

use crate::{Ending, KINDS, Seen, SignalIn, Subject};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A file of vectors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    vector: Vec<Vector>,
}

/// A timeline with its expectations.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// Unique within its file.
    pub name: String,
    /// The line of the semantics that it holds.
    pub holds: String,
    /// The policy's text.
    pub policy: String,
    steps: Vec<Step>,
    /// How many verdicts its steps give.
    #[serde(skip)]
    pub verdicts: usize,
    /// The file that it stands in.
    #[serde(skip)]
    pub file: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Step {
    #[serde(rename = "do")]
    action: Option<String>,
    at_ms: Option<u64>,
    at_ns: u64,
    times: Option<u32>,
    every_ms: u64,
    permit: Option<String>,
    permit_bits: Option<u64>,
    outcome: Option<String>,
    latency_ms: Option<u64>,
    latency_ns: u64,
    score: Option<f64>,
    pending: bool,
    retry_after_ms: Option<u64>,
    verdicts: Vec<String>,
    operator: Option<String>,
    reason: Option<String>,
    open_for_ms: Option<u64>,
    away_ms: u64,
    clock_ms: Option<u64>,
    expect: Option<toml::Table>,
    state: Option<String>,
}

/// Latency of a call that names none.
const LATENCY_MS: u64 = 10;
const MS: u64 = 1_000_000;

/// All vectors of a folder.
///
/// # Errors
/// For files that can't be read or have unknown keys, and a folder without any.
pub fn load(folder: &Path) -> Result<Vec<Vector>> {
    let mut vectors = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("the folder {}", folder.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    // Bad policies are another kind of file: see `policies::load_bad`.
    let is_vectors = |path: &&std::path::PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("policies.toml")
    };
    for path in paths.iter().filter(is_vectors) {
        let text = std::fs::read_to_string(path)?;
        let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        vectors.extend(file.vector.into_iter().map(|vector| {
            let verdicts = vector.steps.iter().map(|step| step.verdicts.len()).max().unwrap_or(0);
            Vector { file: name.clone(), verdicts, ..vector }
        }));
    }
    ensure!(!vectors.is_empty(), "{} holds no vectors", folder.display());
    Ok(vectors)
}

impl Vector {
    /// Whether it speaks the contract itself, which hosts whose permits are values can't.
    pub fn is_raw(&self) -> bool {
        self.file == "contract.toml"
    }

    /// Runs the vector on a fresh subject.
    ///
    /// # Errors
    /// For the first step that differs from what is expected: its number, and both.
    pub fn run(&self, subject: &mut dyn Subject) -> Result<()> {
        ensure!(self.steps.iter().any(Step::checks), "{}: {} expects nothing", self.file, self.name);
        let mut timeline = Timeline { now: 0, permits: BTreeMap::new() };
        for (index, step) in self.steps.iter().enumerate() {
            let place = || format!("{}: `{}`, step {} (holds: {})", self.file, self.name, index + 1, self.holds);
            timeline.step(step, subject).with_context(place)?;
        }
        Ok(())
    }
}

impl Step {
    fn checks(&self) -> bool {
        self.expect.is_some() || self.state.is_some()
    }

    fn ending(&self) -> Result<Ending> {
        let outcome = self.outcome.as_deref().unwrap_or("success");
        let kind = KINDS.into_iter().find(|kind| *kind == outcome).with_context(|| format!("no outcome {outcome}"))?;
        let signal = match self.score {
            Some(score) => SignalIn::Score(score),
            None if self.pending => SignalIn::Pending,
            None => SignalIn::None,
        };
        let verdict = |reason: &String| (!reason.is_empty()).then(|| reason.clone());
        Ok(Ending {
            kind,
            latency: self.latency_ms.unwrap_or(if self.latency_ns > 0 { 0 } else { LATENCY_MS }) * MS + self.latency_ns,
            signal,
            retry_after: self.retry_after_ms.map(|ms| ms * MS),
            verdicts: self.verdicts.iter().map(verdict).collect(),
        })
    }
}

struct Timeline {
    now: u64,
    permits: BTreeMap<String, u64>,
}

impl Timeline {
    fn step(&mut self, step: &Step, subject: &mut dyn Subject) -> Result<()> {
        if let Some(at) = step.at_ms {
            self.now = at * MS;
        }
        self.now += step.at_ns;
        for turn in 0..step.times.unwrap_or(1) {
            if turn > 0 {
                self.now += step.every_ms * MS;
            }
            if let Some(action) = &step.action {
                self.act(action, step, subject).with_context(|| format!("turn {}", turn + 1))?;
            }
        }
        if let Some(state) = &step.state {
            let found = subject.status(self.now).state;
            ensure!(found == *state, "expected the state {state}, found {found}");
        }
        Ok(())
    }

    fn act(&mut self, action: &str, step: &Step, subject: &mut dyn Subject) -> Result<()> {
        let now = self.now;
        let seen = match action {
            "before" => {
                let seen = subject.before(now);
                if let (Some(name), Some(permit)) = (&step.permit, seen.permit) {
                    self.permits.insert(name.clone(), permit);
                }
                seen
            }
            "settle" => subject.settle(self.permit(step)?, &step.ending()?, now),
            "call" => {
                let before = subject.before(now);
                let Some(permit) = before.permit else { bail!("the call was refused: {before:?}") };
                subject.settle(permit, &step.ending()?, now)
            }
            "report" => subject.report(self.permit(step)?, Some(step.score.context("`report` needs a score")?), now),
            "missing" => subject.report(self.permit(step)?, None, now),
            "would-refuse" => subject.would_refuse(now),
            "reset" => subject.reset(now),
            "operator" => subject.operator(step.operator.as_deref().context("`operator` needs a state")?, now),
            "trip" => subject.trip(step.reason.as_deref().unwrap_or("why"), step.open_for_ms.map(|ms| ms * MS), now),
            "reincarnate" => {
                self.now = step.clock_ms.map_or(now, |ms| ms * MS);
                subject.reincarnate(now, self.now, step.away_ms * MS);
                Seen::default()
            }
            "status" => return self.expect(step, &subject.status(now)),
            other => bail!("there is no action `{other}`"),
        };
        self.expect(step, &seen)
    }

    fn permit(&self, step: &Step) -> Result<u64> {
        match (&step.permit, step.permit_bits) {
            (Some(name), _) => self.permits.get(name).copied().with_context(|| format!("no permit `{name}` was given")),
            (None, Some(bits)) => Ok(bits),
            (None, None) => bail!("the step names no permit"),
        }
    }

    fn expect(&self, step: &Step, seen: &impl Serialize) -> Result<()> {
        let Some(expected) = &step.expect else { return Ok(()) };
        let mut found = toml::Table::try_from(seen)?;
        // The contract refuses a stale score as an error; a host's user is told of an effect, since it is no mistake.
        let late = [found.get("error"), found.get("effect")].into_iter().flatten().next().cloned();
        found.extend(late.map(|late| ("late".to_string(), late)));
        for (key, expected) in expected {
            matches(expected, found.get(key)).with_context(|| format!("`{key}` of {found:?}"))?;
        }
        Ok(())
    }
}

/// Whether what was found has all that is expected. `false` stands for what isn't there, too.
fn matches(expected: &toml::Value, found: Option<&toml::Value>) -> Result<()> {
    match (expected, found) {
        (toml::Value::Boolean(false), None) => Ok(()),
        (toml::Value::Table(expected), Some(toml::Value::Table(found))) => {
            expected.iter().try_for_each(|(key, value)| matches(value, found.get(key)).with_context(|| key.clone()))
        }
        (toml::Value::Array(expected), Some(toml::Value::Array(found))) if expected.len() == found.len() => {
            expected.iter().zip(found).try_for_each(|(expected, found)| matches(expected, Some(found)))
        }
        (expected, Some(found)) if expected == found => Ok(()),
        (expected, found) => bail!("expected {expected:?}, found {found:?}"),
    }
}
