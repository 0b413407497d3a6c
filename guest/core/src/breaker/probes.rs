//! Probes: each is judged alone when it is settled, and all together when the last pass that is needed arrives. Only those
//! that passed or failed are in the windows: one that is lost while its score is owed has left nothing there.

use super::half_open::Owed;
use super::record::Checked;
use super::{Breaker, Effect, Phase, Settlement};
use crate::condition::{Cause, Condition, Record};
use crate::event::{EventReason, TripReason};
use crate::outcome::{Class, Outcome};
use crate::score::Score;
use crate::time::Instant;
use alloc::vec::Vec;

impl Breaker {
    pub(super) fn record_probe(
        &mut self,
        number: u32,
        outcome: &Outcome<'_>,
        signal: Checked,
        now: Instant,
    ) -> Settlement {
        let failed = outcome.kind.class() == Class::Failure;
        let early = match &mut self.phase {
            Phase::HalfOpen(half_open) => half_open.live(number).and_then(|probe| probe.score),
            _ => None,
        };
        // The outcome's own score wins over one that was reported before it.
        let score = signal.score().or(early);
        let pending = matches!(signal, Checked::Pending) && score.is_none();
        let record = Record { failed, latency: outcome.latency, score: None, verdicts: outcome.verdicts };
        self.count_settled(failed, outcome.kind, now);
        let causes = if failed { Vec::new() } else { self.alone_causes(&record, now) };
        if failed || !causes.is_empty() {
            let reason =
                if failed { TripReason::ProbeFailed(outcome.kind) } else { TripReason::ProbeConditions(causes) };
            self.show(&record, now);
            return self.reopen(reason, now);
        }
        if pending {
            if let Phase::HalfOpen(half_open) = &mut self.phase
                && let Some(probe) = half_open.live(number)
            {
                probe.owed = Some(Owed::of(outcome));
            }
            return Effect::Pending.into();
        }
        self.pass(number, &Record { score: score.or(self.policy.missing()), ..record }, now)
    }

    /// The conditions by which the tree holds on one probe alone.
    fn alone_causes(&self, record: &Record<'_>, now: Instant) -> Vec<Cause> {
        let (leaves, failures) = (&self.policy.leaves, self.failures_limit(now));
        let holds = |index: usize| leaves.get(index).is_some_and(|leaf| record.alone_holds(&leaf.condition, failures));
        let cause = |index: usize| leaves[index].condition.probe_cause(&leaves[index].path, record);
        self.policy.tree.causes(&holds, cause)
    }

    /// A probe has passed, and its record takes its place; the last one that is needed decides.
    pub(super) fn pass(&mut self, number: u32, record: &Record<'_>, now: Instant) -> Settlement {
        let Phase::HalfOpen(half_open) = &mut self.phase else { return Effect::Stale.into() };
        half_open.free(number);
        half_open.passed.push(number);
        if let Some(score) = record.score {
            half_open.scores.add(score);
        }
        let enough = half_open.passed.len() >= self.policy.recovery_threshold as usize;
        self.show(record, now);
        if !enough {
            return Effect::Probed.into();
        }
        let causes = self.round_causes(now);
        if causes.is_empty() {
            let event = self.close(EventReason::Recovered, now);
            return Settlement { effect: Effect::Probed, event: Some(event) };
        }
        self.reopen(TripReason::ProbeConditions(causes), now)
    }

    /// A score more of a probe that has passed.
    pub(super) fn add_probe_score(&mut self, score: Option<Score>, now: Instant) -> Settlement {
        let (Phase::HalfOpen(half_open), Some(score)) = (&mut self.phase, score) else {
            return Effect::Ignored.into();
        };
        half_open.scores.add(score);
        self.show_late(score, now);
        Effect::Recorded.into()
    }

    /// The conditions by which the tree holds over all probes of this half-open period: quality by their mean score,
    /// everything else by what the windows hold of them.
    fn round_causes(&self, now: Instant) -> Vec<Cause> {
        let Phase::HalfOpen(half_open) = &self.phase else { return Vec::new() };
        let (leaves, failures) = (&self.policy.leaves, self.failures_limit(now));
        let holds = |index: usize| match (leaves.get(index), self.tree.states.get(index)) {
            (Some(leaf), Some(state)) => match leaf.condition {
                Condition::QualityBelow { threshold, .. } => half_open.scores.below(threshold),
                condition => state.holds_from(&condition, 1, failures),
            },
            _ => false,
        };
        let cause = |index: usize| {
            let (leaf, scores) = (&leaves[index], half_open.scores);
            if leaf.condition.is_quality() {
                leaf.condition.probes_quality_cause(&leaf.path, scores.sum, scores.count)
            } else {
                self.tree.states[index].cause(leaf, failures)
            }
        };
        self.policy.tree.causes(&holds, cause)
    }

    fn reopen(&mut self, reason: TripReason, now: Instant) -> Settlement {
        let event = self.open(reason, None, now);
        Settlement { effect: Effect::Probed, event: Some(event) }
    }
}
