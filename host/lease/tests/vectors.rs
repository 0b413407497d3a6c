//! The shared vectors of the lease's host half, `tests/vectors/lease`, which every host's own half runs as well.
#![cfg(not(loom))]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use serde::Deserialize;
use softfuse_lease::{Admission, Batch, Entry, Lease, Owner, Terms};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    vector: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    holds: String,
    steps: Vec<Step>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Step {
    #[serde(rename = "do")]
    action: String,
    at_ns: u64,
    back_ns: u64,
    times: Option<u32>,
    every_ns: u64,
    terms: Option<TermsGiven>,
    until_ns: Option<u64>,
    permit: Option<u64>,
    outcome: Option<String>,
    latency_ns: Option<u64>,
    score: Option<i64>,
    pending: bool,
    retry_after_ns: Option<u64>,
    expect: Option<Expected>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TermsGiven {
    permit: u64,
    outcomes_max: u32,
    until_ns: Option<u64>,
    latency_max_ns: Option<u64>,
    missing_score: Option<i64>,
    score_sums_min: Option<Vec<i64>>,
    scores_roll: bool,
    scores_last: u32,
    details: BTreeSet<DetailAsked>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum DetailAsked {
    SettledAt,
    Latency,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expected {
    admit: Option<String>,
    permit: Option<u64>,
    retry_after_ns: Option<OrFalse>,
    kept: Option<bool>,
    together: Option<bool>,
    waiting: Option<bool>,
    successes: Option<u32>,
    lates: Option<u32>,
    refused: Option<u64>,
    scores: Option<Vec<i64>>,
    settled_at_ns: Option<Vec<u64>>,
    latencies_ns: Option<Vec<u64>>,
    latest_ns: Option<u64>,
}

/// A number, or `false` where there is none.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum OrFalse {
    Number(u64),
    None(bool),
}

/// Outcomes that are failures or neutral: whoever keeps outcomes leaves those to the component, since none of them is benign.
const NEVER_BENIGN: [&str; 7] =
    ["error", "timeout", "rate-limited", "overloaded", "cancelled", "content-policy", "bad-request"];

/// A lease under a vector's steps.
struct Run {
    lease: Lease,
    owner: Owner,
    now: u64,
    refused_until: Option<u64>,
    details: BTreeSet<DetailAsked>,
    /// Something may be kept: it was granted, and not drained since.
    is_open: bool,
}

fn same<T: PartialEq + Debug>(key: &str, expected: Option<T>, found: T) -> Result<(), String> {
    match expected {
        Some(expected) if expected != found => Err(format!("{key}: expected {expected:?}, found {found:?}")),
        _ => Ok(()),
    }
}

/// An expectation that isn't of this action's answer would never be looked at.
fn none_left(expect: &Expected) -> Result<(), String> {
    let Expected { admit, permit, retry_after_ns, kept, together, .. } = expect;
    let Expected { waiting, successes, lates, refused, scores, settled_at_ns, latencies_ns, latest_ns, .. } = expect;
    let lists = [scores.is_some(), settled_at_ns.is_some(), latencies_ns.is_some(), latest_ns.is_some()];
    let counts = [waiting.is_some(), successes.is_some(), lates.is_some(), refused.is_some()];
    let answers = [admit.is_some(), permit.is_some(), retry_after_ns.is_some(), kept.is_some(), together.is_some()];
    if lists.into_iter().chain(counts).chain(answers).any(|some| some) {
        return Err("it expects what such an action doesn't answer".to_owned());
    }
    Ok(())
}

impl Run {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.now = (self.now + step.at_ns).checked_sub(step.back_ns).ok_or("before the clock's origin")?;
        for turn in 0..step.times.unwrap_or(1) {
            if turn > 0 {
                self.now += step.every_ns;
            }
            self.act(step, step.expect.clone().unwrap_or_default())?;
        }
        Ok(())
    }

    fn act(&mut self, step: &Step, mut expect: Expected) -> Result<(), String> {
        match step.action.as_str() {
            "grant" => {
                let given = step.terms.as_ref().ok_or("`grant` needs terms")?;
                self.details.clone_from(&given.details);
                let terms = Terms {
                    permit: given.permit,
                    outcomes_max: given.outcomes_max,
                    until: given.until_ns,
                    latency_max: given.latency_max_ns,
                    missing_score: given.missing_score,
                    score_sums_min: given.score_sums_min.as_deref(),
                    scores_roll: given.scores_roll,
                    scores_last: given.scores_last,
                    details: !given.details.is_empty(),
                    tag: 0,
                };
                self.lease.open(&mut self.owner, &terms);
                self.is_open = given.outcomes_max > 0;
            }
            "refuse" => {
                self.refused_until = step.until_ns;
                self.lease.refuse(&mut self.owner, step.until_ns.unwrap_or(u64::MAX));
            }
            "ask" => self.lease.ask(&mut self.owner),
            "note" => self.lease.note(self.now),
            "admit" => {
                let (name, permit, retry_after) = match self.lease.admit(self.now) {
                    Admission::Ask => ("ask", None, None),
                    Admission::Admitted(permit) => ("admitted", Some(permit), None),
                    Admission::Refused { now } => ("refused", None, self.refused_until.map(|until| until - now)),
                };
                same("admit", expect.admit.take(), name.to_owned())?;
                same("permit", expect.permit.take().map(Some), permit)?;
                let expected = match expect.retry_after_ns.take() {
                    Some(OrFalse::Number(number)) => Some(Some(number)),
                    Some(OrFalse::None(false)) => Some(None),
                    Some(OrFalse::None(true)) => return Err("retry_after_ns is a number, or false".to_owned()),
                    None => None,
                };
                same("retry_after_ns", expected, retry_after)?;
            }
            "settle" | "late" => {
                let permit = step.permit.ok_or("it needs a permit")?;
                let (kept, together) = self.keep(step, permit)?;
                same("kept", expect.kept.take(), kept)?;
                same("together", expect.together.take(), together)?;
            }
            "drain" => self.drain(&mut expect)?,
            other => return Err(format!("there is no action `{other}`")),
        }
        none_left(&expect)
    }

    /// Whether it was kept; if not, whether it may be handed in together with what waits.
    fn keep(&mut self, step: &Step, permit: u64) -> Result<(bool, bool), String> {
        let outcome = step.outcome.as_deref().unwrap_or("success");
        let latency = step.latency_ns.unwrap_or(0);
        let entry = match step.action.as_str() {
            "late" => Entry::Late(step.score.ok_or("`late` needs a score")?),
            _ if step.retry_after_ns.is_some() || NEVER_BENIGN.contains(&outcome) => return Ok((false, false)),
            _ if outcome != "success" => return Err(format!("there is no outcome `{outcome}`")),
            _ => Entry::Success { latency, score: step.score, pending: step.pending },
        };
        let open = self.lease.keep(permit, self.now, entry);
        let is_success = matches!(entry, Entry::Success { .. });
        // Whoever owns a lease knows whether it is open.
        let together = open.is_none()
            && is_success
            && self.is_open
            && self.lease.goes_together(&self.owner, permit, self.now.max(self.lease.latest()), latency);
        Ok((open.is_some(), together))
    }

    fn drain(&mut self, expect: &mut Expected) -> Result<(), String> {
        same("waiting", expect.waiting.take(), self.lease.is_waiting())?;
        self.is_open = false;
        let mut batch = Batch::default();
        self.lease.take(&mut self.owner, &mut batch);
        same("successes", expect.successes.take(), batch.successes)?;
        same("lates", expect.lates.take(), batch.lates)?;
        same("refused", expect.refused.take(), batch.refused)?;
        same("scores", expect.scores.take(), batch.scores)?;
        same("latest_ns", expect.latest_ns.take(), self.lease.latest())?;
        for (key, asked, expected, found) in [
            ("settled_at_ns", DetailAsked::SettledAt, expect.settled_at_ns.take(), batch.settled_at),
            ("latencies_ns", DetailAsked::Latency, expect.latencies_ns.take(), batch.latencies),
        ] {
            if !found.is_empty() && found.len() != batch.successes as usize {
                return Err(format!("{key}: {} of {} successes", found.len(), batch.successes));
            }
            if self.details.contains(&asked) || found.is_empty() {
                same(key, expected, found)?;
            }
        }
        Ok(())
    }
}

#[test]
fn every_vector_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/lease");
    let mut names = BTreeSet::new();
    let mut failures = Vec::new();
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for vector in file.vector {
            assert!(names.insert(vector.name.clone()), "two vectors are named `{}`", vector.name);
            let checks = vector.steps.iter().any(|step| step.expect.is_some());
            assert!(checks, "`{}` expects nothing", vector.name);
            assert!(vector.steps.iter().all(|step| step.times != Some(0)), "`{}`: `times` is 0", vector.name);
            let (lease, owner) = Lease::new(2);
            let mut run = Run { lease, owner, now: 0, refused_until: None, details: BTreeSet::new(), is_open: false };
            for (index, step) in vector.steps.iter().enumerate() {
                if let Err(failure) = run.step(step) {
                    failures.push(format!("`{}`, step {} ({}): {failure}", vector.name, index + 1, vector.holds));
                    break;
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(names.len() >= 30, "{} vectors: is this the folder?", names.len());
    println!("{} vectors hold", names.len());
}
