//! One policy's way through a trace: every call asks its breaker, and settles when it ended.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use softfuse::{
    Breaker, CallRecord, CircuitStatus, Condition, Conditions, Effect, LateScores, Outcome, Permit, Policy, Registry,
    Score, Settled, State, StateChange, Time,
};
use softfuse_trace::{Call, LateScore};

use super::tally::Tally;
use crate::fail::wrong;
use crate::host::Failures;

/// How many calls may be under way at once, those that have ended and whose late scores are still to come among them.
const UNDER_WAY_MAX: usize = 1 << 19;
/// How many bytes those may have, with their late scores and verdicts: 256 MiB, half a KiB for each.
const UNDER_WAY_BYTES_MAX: usize = 256 << 20;

/// A policy, its breaker, and what has happened to it.
pub(crate) struct Lane {
    name: String,
    breaker: Breaker,
    failures: Failures,
    /// The trace's first instant is the breaker's origin.
    origin: i64,
    due: BinaryHeap<Reverse<Due>>,
    /// Of what is due.
    bytes: usize,
    sequence: u64,
    verdicts: Vec<(String, Verdict)>,
    pub(crate) tally: Tally,
}

/// What a host's condition will say of the next record.
type Verdict = Arc<Mutex<Option<String>>>;

/// A condition whose verdicts stand in the trace.
struct Traced(Verdict);

impl Condition for Traced {
    fn record(&mut self, _: &CallRecord) -> Option<String> {
        // The lane never panics while it holds the lock; were it to, what it has written is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reset(&mut self) {}
}

/// Something that will happen.
struct Due {
    at: i64,
    /// Equal times keep the trace's order.
    sequence: u64,
    line: u64,
    event: Event,
}

enum Event {
    Settled(Box<(Permit<'static>, Call)>),
    LateScores(Box<Late>),
}

/// Scores of a call that has ended.
struct Late {
    to: LateScores<'static>,
    ended_at: i64,
    /// The next one is the last.
    scores: Vec<LateScore>,
}

impl Late {
    /// Scores that come at the same time keep the line's order. `None` where there are none.
    fn new(to: LateScores<'static>, ended_at: i64, mut scores: Vec<LateScore>) -> Option<Self> {
        scores.sort_by_key(|score| score.after);
        scores.reverse();
        (!scores.is_empty()).then_some(Self { to, ended_at, scores })
    }

    /// When the next one comes.
    fn next_at(&self) -> Option<i64> {
        self.scores.last().map(|score| self.ended_at.saturating_add_unsigned(score.after))
    }
}

impl Lane {
    /// Makes the policy's breaker. `origin` is when the trace begins.
    ///
    /// # Errors
    /// Where the component makes none.
    pub(crate) fn new(
        registry: &Registry,
        failures: &Failures,
        name: &str,
        policy: &Policy,
        origin: i64,
    ) -> anyhow::Result<Self> {
        let verdicts: Vec<(String, Verdict)> =
            policy.info().host_conditions.iter().map(|name| (name.clone(), Verdict::default())).collect();
        let traced = |(name, verdict): &(String, Verdict)| {
            (name.clone(), Box::new(Traced(Arc::clone(verdict))) as Box<dyn Condition>)
        };
        let conditions: Conditions = verdicts.iter().map(traced).collect();
        let name_in_messages = policy.source_name().to_string();
        let breaker = registry
            .breaker_with(name, policy, conditions)
            .map_err(|error| wrong(format!("{name_in_messages}: {error}")))?;
        Ok(Self {
            name: name_in_messages,
            breaker,
            failures: failures.clone(),
            origin,
            due: BinaryHeap::new(),
            bytes: 0,
            sequence: 0,
            verdicts,
            tally: Tally::new(origin),
        })
    }

    /// The policy's file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The policy.
    pub(crate) fn policy(&self) -> &Policy {
        self.breaker.policy()
    }

    /// The breaker as it is at the end of the replay.
    ///
    /// # Errors
    /// Where the component fails.
    pub(crate) fn status(&self) -> anyhow::Result<CircuitStatus> {
        self.breaker
            .status_at(self.time(self.tally.ended_at()))
            .map_err(|failure| self.failed(None, &failure.to_string()))
    }

    /// Lets a call begin, after everything that ended before it. Whether it was admitted.
    ///
    /// # Errors
    /// Where the component fails, too much is under way, or the line lacks a verdict that the policy asks for.
    pub(crate) fn begin(&mut self, call: &Call) -> anyhow::Result<bool> {
        self.settle_until(call.at)?;
        self.check_verdicts(call)?;
        let asked = self.breaker.permit_at(self.time(call.at)).map(Permit::into_owned);
        self.check_component(call.line)?;
        // The one change that a call's beginning makes: from open to half-open.
        if self.breaker.state() == State::HalfOpen {
            self.tally.half_opened(call.at);
        }
        match asked {
            Ok(permit) => {
                let end = call.at.saturating_add_unsigned(call.latency);
                self.sequence += 1;
                let event = Event::Settled(Box::new((permit, call.clone())));
                self.push(Due { at: end, sequence: self.sequence, line: call.line, event })?;
                self.tally.admitted(call);
                Ok(true)
            }
            Err(rejected) => {
                if let Some(failure) = &rejected.component_failure {
                    return Err(self.failed(Some(call.line), &failure.to_string()));
                }
                self.tally.refused(call, rejected.state);
                Ok(false)
            }
        }
    }

    /// Lets everything end that is under way.
    ///
    /// # Errors
    /// Where the component fails.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.settle_until(i64::MAX)?;
        self.tally.finish();
        Ok(())
    }

    fn settle_until(&mut self, until: i64) -> anyhow::Result<()> {
        while self.due.peek().is_some_and(|Reverse(due)| due.at <= until) {
            let Some(Reverse(due)) = self.due.pop() else { break };
            self.bytes -= due.bytes();
            self.happen(due)?;
        }
        Ok(())
    }

    fn happen(&mut self, due: Due) -> anyhow::Result<()> {
        let Due { at, line, .. } = due;
        let now = self.time(at);
        let (effect, change) = match due.event {
            Event::LateScores(mut late) => {
                let Some(score) = late.scores.pop() else { return Ok(()) };
                let reported = late.to.report_quality_at(score.score, now)?;
                // Under the number that the first had, since they were promised together.
                self.push_late(line, due.sequence, late)?;
                reported
            }
            Event::Settled(ended) => {
                let (permit, call) = *ended;
                self.set_verdicts(&call);
                let Settled { effect, change, late, .. } = permit.settle_at(outcome(&call)?, now);
                self.tally.settled(&call);
                self.sequence += 1;
                if let Some(late) = Late::new(late, at, call.late_scores) {
                    self.push_late(line, self.sequence, Box::new(late))?;
                }
                (effect, change)
            }
        };
        self.check_component(line)?;
        if effect == Effect::Lost {
            // It says why where it fails, so this is for a component that finds another way.
            return Err(self.failed(Some(line), "the breaker component lost a record"));
        }
        self.tally.passed(at);
        if let Some(change) = change {
            self.changed(at, line, *change);
        }
        Ok(())
    }

    /// Ends the replay where the component has failed: what it would have done is not known from there on.
    fn check_component(&self, line: u64) -> anyhow::Result<()> {
        match self.failures.first() {
            Some(failure) => Err(self.failed(Some(line), failure)),
            None => Ok(()),
        }
    }

    fn failed(&self, line: Option<u64>, failure: &str) -> anyhow::Error {
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        wrong(format!("{line}under the policy {}: {failure}", self.name))
    }

    fn changed(&mut self, at: i64, line: u64, change: StateChange) {
        let open_until = change.open_until.map(|until| self.origin.saturating_add(until.as_nanos()));
        self.tally.changed(at, line, change, open_until);
    }

    fn push_late(&mut self, line: u64, sequence: u64, late: Box<Late>) -> anyhow::Result<()> {
        match late.next_at() {
            Some(at) => self.push(Due { at, sequence, line, event: Event::LateScores(late) }),
            None => Ok(()),
        }
    }

    fn push(&mut self, due: Due) -> anyhow::Result<()> {
        let bytes = self.bytes + due.bytes();
        if self.due.len() >= UNDER_WAY_MAX || bytes > UNDER_WAY_BYTES_MAX {
            return Err(wrong(format!(
                "line {}: more than {UNDER_WAY_MAX} calls, or {} MiB of calls with their late scores and verdicts, are under \
                 way at once; is the unit of the latencies right?",
                due.line,
                UNDER_WAY_BYTES_MAX >> 20
            )));
        }
        self.bytes = bytes;
        self.due.push(Reverse(due));
        Ok(())
    }

    fn time(&self, at: i64) -> Time {
        Time::from_nanos(at.saturating_sub(self.origin))
    }

    fn check_verdicts(&self, call: &Call) -> anyhow::Result<()> {
        let missing = self.verdicts.iter().find(|(name, _)| !call.verdicts.iter().any(|(given, _)| given == name));
        let Some((name, _)) = missing else { return Ok(()) };
        Err(wrong(format!(
            "line {}: the policy {} has the host's condition `{name}`, and the line has no verdict of it: add \
             \"verdicts\": {{\"{name}\": null}} where it doesn't hold, its reason where it does",
            call.line, self.name
        )))
    }

    fn set_verdicts(&self, call: &Call) {
        for (name, verdict) in &self.verdicts {
            let given = call.verdicts.iter().find(|(given, _)| given == name).and_then(|(_, reason)| reason.clone());
            *verdict.lock().unwrap_or_else(PoisonError::into_inner) = given;
        }
    }
}

fn outcome(call: &Call) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::new(call.kind).with_latency(Duration::from_nanos(call.latency));
    if let Some(score) = call.score {
        // The reader has checked it; the contract's bound is the same.
        outcome = outcome.with_score(Score::new(score).with_context(|| format!("line {}", call.line))?);
    } else if !call.late_scores.is_empty() {
        // Somebody judged it afterwards, so the host would have said that the score is to come.
        outcome = outcome.with_pending_score();
    }
    Ok(match call.retry_after {
        Some(span) => outcome.with_retry_after(Duration::from_nanos(span)),
        None => outcome,
    })
}

impl Due {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let event = match &self.event {
            Event::Settled(ended) => size_of::<Permit>() + ended.1.bytes(),
            Event::LateScores(late) => size_of::<Late>() + late.scores.capacity() * size_of::<LateScore>(),
        };
        size_of::<Self>() + event
    }

    fn key(&self) -> (i64, u64) {
        (self.at, self.sequence)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests;
