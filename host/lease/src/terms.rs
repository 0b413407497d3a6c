//! Under which terms outcomes are benign.

use crate::Entry;
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// What a component grants: `admit-terms` of its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The permit that every call under the lease carries.
    pub permit: u64,
    /// How many outcomes and late scores may wait; 0 where each is to be recorded at once. At most [`OUTCOMES_MAX`] are used.
    pub outcomes_max: u32,
    /// Outcomes must be settled before this time, in nanoseconds.
    pub until: Option<u64>,
    /// Outcomes may take no longer than this, in nanoseconds.
    pub latency_max: Option<u64>,
    /// The score that a success without one counts for.
    pub missing_score: Option<i64>,
    /// What the sum of k scores must be at least, at k - 1; there may be no more of them. None where any score is benign.
    pub score_sums_min: Option<&'a [i64]>,
    /// A number of the host's own, which it gets back for each outcome that is kept.
    pub tag: u32,
}

/// The most outcomes that wait under one lease, whatever the component grants: what the word for scores can count.
pub const OUTCOMES_MAX: u32 = 256;

/// No bound on scores.
const ANY: u32 = u32::MAX;

/// The terms in force. They change only while nobody looks: every stripe is closed, and nobody is between two steps.
#[derive(Debug)]
pub(crate) struct Held {
    permit: AtomicU64,
    outcomes_max: AtomicU32,
    until: AtomicU64,
    latency_max: AtomicU64,
    /// 0 and whatever; or 1 and the score.
    has_missing: AtomicU32,
    missing_score: AtomicI64,
    /// How many of `sums` count, or [`ANY`].
    sums_len: AtomicU32,
    sums: Box<[AtomicI64]>,
    tag: AtomicU32,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            permit: AtomicU64::new(0),
            outcomes_max: AtomicU32::new(0),
            until: AtomicU64::new(0),
            latency_max: AtomicU64::new(0),
            has_missing: AtomicU32::new(0),
            missing_score: AtomicI64::new(0),
            sums_len: AtomicU32::new(ANY),
            sums: (0..if cfg!(loom) { 4 } else { OUTCOMES_MAX }).map(|_| AtomicI64::new(0)).collect(),
            tag: AtomicU32::new(0),
        }
    }
}

impl Held {
    pub(crate) fn set(&self, terms: &Terms<'_>) {
        self.permit.store(terms.permit, Ordering::Relaxed);
        self.outcomes_max.store(terms.outcomes_max.min(OUTCOMES_MAX), Ordering::Relaxed);
        self.until.store(terms.until.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.latency_max.store(terms.latency_max.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.has_missing.store(u32::from(terms.missing_score.is_some()), Ordering::Relaxed);
        self.missing_score.store(terms.missing_score.unwrap_or(0), Ordering::Relaxed);
        let sums = terms.score_sums_min.map(|sums| &sums[..sums.len().min(self.sums.len())]);
        for (held, sum) in self.sums.iter().zip(sums.unwrap_or_default()) {
            held.store(*sum, Ordering::Relaxed);
        }
        // At most OUTCOMES_MAX.
        self.sums_len.store(sums.map_or(ANY, |sums| sums.len() as u32), Ordering::Relaxed);
        self.tag.store(terms.tag, Ordering::Relaxed);
    }

    /// Whether it may wait, its score set aside: the score that it counts for.
    #[inline]
    pub(crate) fn benign(&self, permit: u64, at: u64, entry: Entry) -> Option<Option<i64>> {
        let missing =
            || (self.has_missing.load(Ordering::Relaxed) != 0).then(|| self.missing_score.load(Ordering::Relaxed));
        let (latency, score) = match entry {
            Entry::Success { latency, score, pending } => {
                (latency, if pending { score } else { score.or_else(missing) })
            }
            Entry::Late(score) => (0, score.or_else(missing)),
        };
        let benign = permit == self.permit.load(Ordering::Relaxed)
            && at < self.until.load(Ordering::Relaxed)
            && latency <= self.latency_max.load(Ordering::Relaxed);
        benign.then_some(score)
    }

    /// The bounds on the sums of scores, where there are any.
    #[inline]
    pub(crate) fn score_sums_min(&self) -> Option<&[AtomicI64]> {
        match self.sums_len.load(Ordering::Relaxed) {
            ANY => None,
            len => self.sums.get(..len as usize),
        }
    }

    pub(crate) fn outcomes_max(&self) -> u32 {
        self.outcomes_max.load(Ordering::Relaxed)
    }

    pub(crate) fn tag(&self) -> u32 {
        self.tag.load(Ordering::Relaxed)
    }
}
