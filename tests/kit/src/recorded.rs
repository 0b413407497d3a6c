//! Random histories as vectors, so that hosts in other languages are compared with the core on more than people think of.
//!
//! What the core behind a host's [discipline](crate::disciplined) answers is written down in the format of `tests/vectors`.

use crate::history::{Observed, Op, history, run};
use crate::policies::policy;
use crate::{CoreSubject, Disciplined, Ending, Seen, SignalIn, StatusSeen, Subject};
use anyhow::{Context, Result};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::Serialize;
use softfuse_core::Policy;
use std::sync::Arc;
use toml::{Table, Value};

const MS: u64 = 1_000_000;
/// The longest that time goes by at once: vectors' numbers are those of TOML.
const SPAN_MAX: u64 = 3_600_000 * MS;
/// Conditions of the host's own in random policies.
const HOST_CONDITIONS: usize = 2;

/// A history that was run, as a vector.
pub struct Recorded {
    /// Its policy.
    pub policy: String,
    /// One `[[vector]]`.
    pub text: String,
    /// What was seen.
    pub observed: Observed,
}

/// So many random histories of up to so many steps, the same ones each time.
///
/// # Errors
/// As [`record`].
pub fn random(count: usize, ops_max: usize) -> Result<Vec<Recorded>> {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let histories = (policy(true), history(ops_max, HOST_CONDITIONS));
    let recorded = (0..count).map(|number| {
        let tree = histories.new_tree(&mut runner).map_err(|reason| anyhow::anyhow!("no history: {reason}"))?;
        let (policy, ops) = tree.current();
        record(&format!("random history {number}"), &policy, &ops)
    });
    recorded.collect()
}

/// Runs a history on the core behind a host's discipline, and writes it down. What a vector can't say is left out of it:
/// permits out of thin air, clocks that run backwards, spans that aren't milliseconds, numbers beyond TOML's.
///
/// # Errors
/// For a policy that isn't one.
pub fn record(name: &str, policy: &str, ops: &[Op]) -> Result<Recorded> {
    let parsed = Policy::parse(policy).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let verdicts = parsed.host_conditions().len();
    let subject = Disciplined::new(CoreSubject::new(Arc::new(parsed)), verdicts);
    let mut recorder = Recorder { subject, verdicts, now: 0, steps: Vec::new(), unsaid: Ok(()) };
    let ops: Vec<Op> = ops.iter().filter_map(expressible).collect();
    let observed = run(&ops, &mut recorder);
    recorder.unsaid.context("an answer as TOML")?;
    let mut vector = Table::new();
    vector.insert("name".into(), name.into());
    vector.insert("holds".into(), "A host decides as the core does.".into());
    vector.insert("policy".into(), policy.into());
    vector.insert("steps".into(), Value::Array(recorder.steps.into_iter().map(Value::Table).collect()));
    let mut file = Table::new();
    file.insert("vector".into(), Value::Array(vec![Value::Table(vector)]));
    Ok(Recorded { policy: policy.to_owned(), text: toml::to_string(&file).context("a vector as TOML")?, observed })
}

/// A step as a vector can say it; none where it can't.
fn expressible(op: &Op) -> Option<Op> {
    let ending = |ending: &Ending| Ending {
        latency: ending.latency.min(SPAN_MAX),
        retry_after: ending.retry_after.map(whole),
        ..ending.clone()
    };
    Some(match op {
        Op::Hostile(..) | Op::Back(_) => return None,
        Op::Calls(times, end) => Op::Calls(*times, ending(end)),
        Op::Settle(which, end) => Op::Settle(*which, ending(end)),
        Op::Advance(span) => Op::Advance((*span).min(SPAN_MAX)),
        Op::Trip(open_for) => Op::Trip(open_for.map(whole)),
        Op::Reincarnate(away) => Op::Reincarnate(whole(*away)),
        other => other.clone(),
    })
}

/// A span in whole milliseconds.
fn whole(span: u64) -> u64 {
    span.min(SPAN_MAX) / MS * MS
}

/// A subject that writes down what it is asked, and what it answers.
struct Recorder {
    subject: Disciplined<CoreSubject>,
    verdicts: usize,
    /// The clock, as far as it was written down.
    now: u64,
    steps: Vec<Table>,
    /// Whether all that was answered could be written down.
    unsaid: Result<(), toml::ser::Error>,
}

impl Recorder {
    /// A step at this time.
    fn step(&mut self, now: u64, action: &str) -> Table {
        let mut step = Table::new();
        let passed = now.saturating_sub(self.now);
        if passed > 0 {
            step.insert("at_ns".into(), number(passed));
        }
        self.now = now;
        step.insert("do".into(), action.into());
        step
    }

    /// Writes a step down, and what was answered to it.
    fn note(&mut self, mut step: Table, seen: &impl Serialize, absent: &[&str]) {
        match Table::try_from(seen) {
            Ok(mut expected) => {
                // Numbers of permits are each host's own.
                expected.remove("permit");
                for key in absent {
                    expected.entry(*key).or_insert(false.into());
                }
                step.insert("expect".into(), Value::Table(expected));
                self.steps.push(step);
            }
            Err(error) => self.unsaid = Err(error),
        }
    }

    /// [`note`](Self::note), but where a permit's value is gone, which some languages can't say.
    fn answer(&mut self, step: Table, seen: Seen) -> Seen {
        if seen.error.as_deref() == Some("gone") {
            // Its time has passed all the same.
            self.steps.push(step.into_iter().filter(|(key, _)| key == "at_ns").collect());
        } else {
            self.note(step, &seen, &["error", "event"]);
        }
        seen
    }

    fn ending(&self, step: &mut Table, ending: &Ending) {
        step.insert("outcome".into(), ending.kind.into());
        step.insert("latency_ns".into(), number(ending.latency % MS));
        step.insert("latency_ms".into(), number(ending.latency / MS));
        match ending.signal {
            SignalIn::None => {}
            SignalIn::Score(score) => drop(step.insert("score".into(), score.into())),
            SignalIn::Pending => drop(step.insert("pending".into(), true.into())),
        }
        if let Some(span) = ending.retry_after {
            step.insert("retry_after_ms".into(), number(span / MS));
        }
        if self.verdicts > 0 {
            let given = ending.verdicts.iter().chain(std::iter::repeat(&None)).take(self.verdicts);
            let reasons = given.map(|verdict| verdict.as_deref().unwrap_or_default().into());
            step.insert("verdicts".into(), Value::Array(reasons.collect()));
        }
    }
}

impl Subject for Recorder {
    fn before(&mut self, now: u64) -> Seen {
        let mut step = self.step(now, "before");
        let seen = self.subject.before(now);
        if let Some(permit) = seen.permit {
            step.insert("permit".into(), name(permit));
        }
        self.answer(step, seen)
    }

    fn settle(&mut self, permit: u64, ending: &Ending, now: u64) -> Seen {
        let mut step = self.step(now, "settle");
        step.insert("permit".into(), name(permit));
        self.ending(&mut step, ending);
        let seen = self.subject.settle(permit, ending, now);
        self.answer(step, seen)
    }

    fn report(&mut self, permit: u64, score: Option<f64>, now: u64) -> Seen {
        let mut step = self.step(now, if score.is_some() { "report" } else { "missing" });
        step.insert("permit".into(), name(permit));
        if let Some(score) = score {
            step.insert("score".into(), score.into());
        }
        let seen = self.subject.report(permit, score, now);
        self.answer(step, seen)
    }

    fn would_refuse(&mut self, now: u64) -> Seen {
        let step = self.step(now, "would-refuse");
        let seen = self.subject.would_refuse(now);
        self.answer(step, seen)
    }

    fn status(&mut self, now: u64) -> StatusSeen {
        let step = self.step(now, "status");
        let seen = self.subject.status(now);
        self.note(step, &seen, &["retry_after_ns", "last_trip", "last_failure"]);
        seen
    }

    fn reset(&mut self, now: u64) -> Seen {
        let step = self.step(now, "reset");
        let seen = self.subject.reset(now);
        self.answer(step, seen)
    }

    fn operator(&mut self, state: &str, now: u64) -> Seen {
        let mut step = self.step(now, "operator");
        step.insert("operator".into(), state.into());
        let seen = self.subject.operator(state, now);
        self.answer(step, seen)
    }

    fn trip(&mut self, reason: &str, open_for: Option<u64>, now: u64) -> Seen {
        let mut step = self.step(now, "trip");
        step.insert("reason".into(), reason.into());
        if let Some(span) = open_for {
            step.insert("open_for_ms".into(), number(span / MS));
        }
        let seen = self.subject.trip(reason, open_for, now);
        self.answer(step, seen)
    }

    /// The clock goes on from where it was, and by as much as the breaker was away.
    fn reincarnate(&mut self, now: u64, _then: u64, away: u64) {
        let mut step = self.step(now, "reincarnate");
        step.insert("away_ms".into(), number(away / MS));
        self.subject.reincarnate(now, now, away);
        self.steps.push(step);
    }
}

/// A vector's name of a permit.
fn name(permit: u64) -> Value {
    format!("p{permit}").into()
}

/// Spans are short, so that they are TOML's.
fn number(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}
