//! One policy's way through a trace: every call asks its breaker, and settles when it ended.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use softfuse::{
    Breaker, CallRecord, CircuitStatus, Condition, Conditions, Effect, LateScores, Outcome, OutcomeKind, Permit,
    Policy, Registry, Score, Settled, State, StateChange, Time,
};
use softfuse_trace::Call;

use super::tally::Tally;
use crate::fail::wrong;

/// How many calls and late scores may be under way at once.
pub(crate) const UNDER_WAY_MAX: usize = 1 << 20;

/// A policy, its breaker, and what has happened to it.
pub(crate) struct Lane {
    name: String,
    breaker: Breaker,
    /// The trace's first instant is the breaker's origin.
    origin: i64,
    due: BinaryHeap<Reverse<Due>>,
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
    Settled(Permit<'static>, Box<Call>),
    LateScore(LateScores<'static>, Score),
}

impl Lane {
    /// Makes the policy's breaker. `origin` is when the trace begins.
    ///
    /// # Errors
    /// Where the component makes none.
    pub(crate) fn new(registry: &Registry, name: &str, policy: &Policy, origin: i64) -> anyhow::Result<Self> {
        let verdicts: Vec<(String, Verdict)> =
            policy.info().host_conditions.iter().map(|name| (name.clone(), Verdict::default())).collect();
        let traced = |(name, verdict): &(String, Verdict)| {
            (name.clone(), Box::new(Traced(Arc::clone(verdict))) as Box<dyn Condition>)
        };
        let conditions: Conditions = verdicts.iter().map(traced).collect();
        let breaker = registry.breaker_with(name, policy, conditions)?;
        let name = policy.source_name().to_string();
        Ok(Self { name, breaker, origin, due: BinaryHeap::new(), sequence: 0, verdicts, tally: Tally::new(origin) })
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
        Ok(self.breaker.status_at(self.time(self.tally.ended_at()))?)
    }

    /// Lets a call begin, after everything that ended before it. Whether it was admitted.
    ///
    /// # Errors
    /// Where the component fails, too much is under way, or the line lacks a verdict that the policy asks for.
    pub(crate) fn begin(&mut self, call: &Call) -> anyhow::Result<bool> {
        self.settle_until(call.at)?;
        self.check_verdicts(call)?;
        let asked = self.breaker.permit_at(self.time(call.at)).map(Permit::into_owned);
        // The one change that a call's beginning makes: from open to half-open.
        if self.breaker.state() == State::HalfOpen {
            self.tally.half_opened(call.at);
        }
        match asked {
            Ok(permit) => {
                if self.due.len() >= UNDER_WAY_MAX {
                    return Err(wrong(format!(
                        "line {}: more than {UNDER_WAY_MAX} calls and late scores are under way at once; is the unit of \
                         the latencies right?",
                        call.line
                    )));
                }
                self.tally.admitted(call);
                let end = call.at.saturating_add_unsigned(call.latency);
                self.push(end, call.line, Event::Settled(permit, Box::new(call.clone())));
                Ok(true)
            }
            Err(rejected) => {
                if let Some(failure) = rejected.component_failure {
                    bail!("{failure}");
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
            self.happen(due)?;
        }
        Ok(())
    }

    fn happen(&mut self, due: Due) -> anyhow::Result<()> {
        let now = self.time(due.at);
        let (effect, change) = match due.event {
            Event::LateScore(late, score) => late.report_quality_at(score.get(), now)?,
            Event::Settled(permit, call) => {
                self.set_verdicts(&call);
                let Settled { effect, change, late, .. } = permit.settle_at(outcome(&call)?, now);
                for late_score in &call.late_scores {
                    let at = due.at.saturating_add_unsigned(late_score.after);
                    self.push(at, due.line, Event::LateScore(late.clone(), Score::new(late_score.score)?));
                }
                self.tally.settled(&call);
                (effect, change)
            }
        };
        if effect == Effect::Lost {
            // Its own failure is told where a call is refused by it; here the record is gone all the same.
            return self.status().map(drop).and_then(|()| bail!("the breaker component lost a record"));
        }
        self.tally.passed(due.at);
        if let Some(change) = change {
            self.changed(due.at, due.line, change);
        }
        Ok(())
    }

    fn changed(&mut self, at: i64, line: u64, change: StateChange) {
        let open_until = change.open_until.map(|until| self.origin.saturating_add(until.as_nanos()));
        self.tally.changed(at, line, change, open_until);
    }

    fn push(&mut self, at: i64, line: u64, event: Event) {
        self.sequence += 1;
        self.due.push(Reverse(Due { at, sequence: self.sequence, line, event }));
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
    let mut outcome = Outcome::new(kind(call.kind)).with_latency(Duration::from_nanos(call.latency));
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

/// The kind as the breaker takes it.
fn kind(kind: softfuse_trace::OutcomeKind) -> OutcomeKind {
    use softfuse_trace::OutcomeKind as Recorded;
    match kind {
        Recorded::Success => OutcomeKind::Success,
        Recorded::Error => OutcomeKind::Error,
        Recorded::Timeout => OutcomeKind::Timeout,
        Recorded::RateLimited => OutcomeKind::RateLimited,
        Recorded::Overloaded => OutcomeKind::Overloaded,
        Recorded::Cancelled => OutcomeKind::Cancelled,
        Recorded::ContentPolicy => OutcomeKind::ContentPolicy,
        Recorded::BadRequest => OutcomeKind::BadRequest,
    }
}

impl Due {
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
