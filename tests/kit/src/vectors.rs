//! The shared vectors: timelines of a policy, steps, and what is expected. `tests/vectors/README.md` explains the format.

use crate::{Ending, KINDS, Seen, SignalIn, Subject};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Unique over all files.
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

/// The file of bad policies, which is of another kind: see [`load_bad`](crate::policies::load_bad).
const BAD_POLICIES: &str = "policies.toml";

/// All vectors of a folder.
///
/// # Errors
/// For files that can't be read or have unknown keys, steps that would check nothing, names that come twice, and a folder
/// without any.
pub fn load(folder: &Path) -> Result<Vec<Vector>> {
    let mut vectors = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("the folder {}", folder.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    let is_toml = |path: &&std::path::PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    for path in paths.iter().filter(is_toml).filter(|path| !path.ends_with(BAD_POLICIES)) {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        vectors.extend(parse(&name, &text)?);
    }
    ensure!(!vectors.is_empty(), "{} holds no vectors", folder.display());
    let bad = if folder.join(BAD_POLICIES).exists() { crate::policies::load_bad(folder)? } else { Vec::new() };
    let mut names = BTreeSet::new();
    for name in vectors.iter().map(|vector| &vector.name).chain(bad.iter().map(|bad| &bad.name)) {
        ensure!(names.insert(name), "two vectors are named `{name}`");
    }
    Ok(vectors)
}

/// The vectors of a file's text.
///
/// # Errors
/// For unknown keys, and steps that would check nothing.
pub fn parse(file: &str, text: &str) -> Result<Vec<Vector>> {
    let File { vector } = toml::from_str(text).with_context(|| file.to_owned())?;
    let vectors = vector.into_iter().map(|vector| {
        for (index, step) in vector.steps.iter().enumerate() {
            step.check().with_context(|| format!("{file}: `{}`, step {}", vector.name, index + 1))?;
        }
        ensure!(vector.steps.iter().any(Step::checks), "{file}: `{}` expects nothing", vector.name);
        let verdicts = vector.steps.iter().map(|step| step.verdicts.len()).max().unwrap_or(0);
        Ok(Vector { file: file.to_owned(), verdicts, ..vector })
    });
    vectors.collect()
}

impl Vector {
    /// Whether it speaks the contract itself, which hosts whose permits are values can't.
    pub fn is_raw(&self) -> bool {
        self.file == "contract.toml"
    }

    /// Whether it says what a host does before it asks the component, which by itself can't know.
    pub fn is_hosts_own(&self) -> bool {
        self.file == "hosts.toml"
    }

    /// Runs the vector on a fresh subject.
    ///
    /// # Errors
    /// For the first step that differs from what is expected: its number, and both.
    pub fn run(&self, subject: &mut dyn Subject) -> Result<()> {
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

    /// Whether what it expects would be looked at.
    fn check(&self) -> Result<()> {
        ensure!(self.times != Some(0), "`times` is 0: nothing would happen");
        ensure!(self.expect.is_none() || self.action.is_some(), "`expect` without `do`: there is no answer to look at");
        Ok(())
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
        let mut found = serde_json::to_value(seen)?;
        // The contract refuses a stale score as an error; a host's user is told of an effect, since it is no mistake.
        if let Some(answer) = found.as_object_mut().filter(|answer| answer.contains_key("error")) {
            let late = ["error", "effect"].into_iter().filter_map(|key| answer.get(key)).find(|value| !value.is_null());
            let late = late.cloned().unwrap_or_default();
            answer.insert("late".to_owned(), late);
        }
        same_keys(expected, &found).with_context(|| format!("of {found}"))
    }
}

/// Whether a table has all that is expected of it. What it doesn't say is `null` there, so that a key which it lacks
/// altogether is a slip of the vector's.
fn same_keys(expected: &toml::Table, found: &Value) -> Result<()> {
    let Some(table) = found.as_object() else { bail!("expected {expected:?}, found {found}") };
    for (key, expected) in expected {
        let Some(found) = table.get(key) else {
            bail!("there is no key `{key}` to expect; the keys are {:?}", table.keys().collect::<Vec<_>>());
        };
        matches(expected, found).with_context(|| format!("`{key}`"))?;
    }
    Ok(())
}

/// Whether what was found has all that is expected. `false` stands for what isn't there, too.
fn matches(expected: &toml::Value, found: &Value) -> Result<()> {
    let same = match (expected, found) {
        (toml::Value::Table(expected), found) => return same_keys(expected, found),
        (toml::Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            return expected.iter().zip(found).try_for_each(|(expected, found)| matches(expected, found));
        }
        (toml::Value::Boolean(expected), Value::Bool(found)) => expected == found,
        (toml::Value::Boolean(expected), Value::Null) => !expected,
        (toml::Value::String(expected), Value::String(found)) => expected == found,
        (toml::Value::Integer(expected), Value::Number(found)) => found.as_i64() == Some(*expected),
        (toml::Value::Float(expected), Value::Number(found)) => found.as_f64() == Some(*expected),
        _ => false,
    };
    ensure!(same, "expected {expected:?}, found {found}");
    Ok(())
}
