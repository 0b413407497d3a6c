//! What was kept under a lease, in order, as it crosses to the component.

use crate::{Detail, Entry};

/// What was kept. It is made once and filled again and again.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many successes there are.
    pub successes: u32,
    /// How many late scores there are.
    pub lates: u32,
    /// Scores in order of arrival, in units of 10^-9: the last of them, as many as the lease asks for.
    pub scores: Vec<i64>,
    /// When each success was settled, in nanoseconds; empty where the lease doesn't ask for details.
    pub settled_at: Vec<u64>,
    /// How long each of them took, in nanoseconds; empty where the lease doesn't ask for details.
    pub latencies: Vec<u64>,
    /// How many calls were refused.
    pub refused: u64,
    /// Details as they are collected.
    pub(crate) details: Vec<Detail>,
    /// What the lease asked for, for what comes after all that was kept.
    pub(crate) asks: Asks,
}

/// What a lease asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asks {
    pub(crate) scores_last: u32,
    pub(crate) details: bool,
    pub(crate) missing_score: Option<i64>,
}

impl Batch {
    /// How many outcomes and late scores there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::from(self.successes) + u64::from(self.lates)
    }

    /// Whether there is neither an outcome nor a late score nor a refusal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.refused == 0
    }

    /// Adds what comes after all that was kept.
    pub fn append(&mut self, entry: Entry, at: u64) {
        let Asks { scores_last, details, missing_score } = self.asks;
        let score = match entry {
            Entry::Success { latency, score, pending } => {
                self.successes += 1;
                if details {
                    self.settled_at.push(at);
                    self.latencies.push(latency);
                }
                if pending { score } else { score.or(missing_score) }
            }
            Entry::Late(score) => {
                self.lates += 1;
                Some(score)
            }
        };
        // One more than were asked for does no harm.
        self.scores.extend(score.filter(|_| scores_last > 0));
    }

    pub(crate) fn clear(&mut self) {
        self.scores.clear();
        self.settled_at.clear();
        self.latencies.clear();
        self.details.clear();
        (self.successes, self.lates, self.refused) = (0, 0, 0);
    }

    /// Puts the details into their columns: where they come of several parts, in order of time; threads' own orders are kept.
    pub(crate) fn order(&mut self, several: bool) {
        if several {
            self.details.sort_by_key(|detail| (detail.settled_at, detail.sequence));
        }
        self.settled_at.extend(self.details.iter().map(|detail| detail.settled_at));
        self.latencies.extend(self.details.iter().map(|detail| detail.latency));
    }
}
