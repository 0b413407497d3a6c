//! Half-open: a few probes at a time, each stored until it is settled or its deadline has passed.

use super::Standing;
use crate::condition::Record;
use crate::event::bounded;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::score::Score;
use crate::time::{Instant, Nanos};
use alloc::{boxed::Box, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// A probe under way.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) number: u32,
    pub(super) deadline: Instant,
    /// A score that came before its outcome.
    pub(super) score: Option<Score>,
    /// Its outcome, where that is settled and only the score is owed.
    pub(super) owed: Option<Owed>,
}

/// What waits for its score: a success that takes its place in the windows when its probe passes, and never does where
/// the probe is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owed {
    pub(super) latency: Nanos,
    /// As many as the policy's host conditions, each cut to [`TEXT_BYTES_MAX`](crate::event::TEXT_BYTES_MAX).
    pub(super) verdicts: Box<[Option<String>]>,
}

impl Owed {
    pub(super) fn of(outcome: &Outcome<'_>) -> Self {
        let verdicts = outcome.verdicts.iter().map(|verdict| verdict.clone().map(bounded));
        Self { latency: outcome.latency, verdicts: verdicts.collect() }
    }

    /// As a record, now that the score has come or won't.
    pub(super) fn record(&self, score: Option<Score>) -> Record<'_> {
        Record { failed: false, latency: self.latency, score, verdicts: &self.verdicts }
    }
}

/// The probes of one half-open period.
#[derive(Clone, Debug, Default)]
pub(super) struct HalfOpen {
    /// At most `half_open_max_calls`.
    pub(super) live: Vec<Probe>,
    /// The numbers of those that passed: fewer than `recovery_threshold`.
    pub(super) passed: Vec<u32>,
    /// The last number given.
    pub(super) last: u32,
    pub(super) scores: Scores,
}

/// The scores of all probes that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scores {
    pub(super) sum: i128,
    pub(super) count: u32,
}

impl Scores {
    pub(super) fn add(&mut self, score: Score) {
        self.sum += i128::from(score.units());
        self.count = self.count.saturating_add(1);
    }

    /// Whether their mean is below a threshold; not so where there are none.
    pub(super) fn below(&self, threshold: Score) -> bool {
        self.sum < i128::from(threshold.units()) * i128::from(self.count)
    }
}

impl HalfOpen {
    /// A slot for a probe, where there is one: its number.
    pub(super) fn admit(&mut self, policy: &Policy, now: Instant) -> Option<u32> {
        self.expire(now);
        if self.live.len() >= self.room(policy) {
            return None;
        }
        self.last = self.last.checked_add(1)?;
        let deadline = now.plus(policy.probe_timeout);
        self.live.push(Probe { number: self.last, deadline, score: None, owed: None });
        Some(self.last)
    }

    /// Whether a probe would be admitted.
    pub(super) fn has_room(&self, policy: &Policy, now: Instant) -> bool {
        self.live_at(now) < self.room(policy) && self.last < u32::MAX
    }

    /// How many probes are under way.
    pub(super) fn live_at(&self, now: Instant) -> usize {
        self.live.iter().filter(|probe| now < probe.deadline).count()
    }

    /// Frees the slots of probes that were lost: they have neither passed nor failed.
    pub(super) fn expire(&mut self, now: Instant) {
        self.live.retain(|probe| now < probe.deadline);
    }

    pub(super) fn live(&mut self, number: u32) -> Option<&mut Probe> {
        self.live.iter_mut().find(|probe| probe.number == number)
    }

    /// Frees a probe's slot.
    pub(super) fn free(&mut self, number: u32) {
        self.live.retain(|probe| probe.number != number);
    }

    pub(super) fn standing(&self, number: u32, now: Instant) -> Standing {
        if number == 0 || number > self.last {
            return Standing::Unknown;
        }
        // A probe whose outcome is settled already is owed a score, not another outcome.
        match self.live.iter().find(|probe| probe.number == number) {
            Some(probe) if now < probe.deadline && probe.owed.is_none() => Standing::Probe,
            _ => Standing::Stale,
        }
    }

    /// Probes at once: no more than may run, and no more than passes are still needed.
    fn room(&self, policy: &Policy) -> usize {
        let needed = (policy.recovery_threshold as usize).saturating_sub(self.passed.len());
        needed.min(policy.half_open_max_calls as usize)
    }
}
