//! Under which terms outcomes are benign.

use crate::Entry;
use crate::counter::COUNT_MAX;
use crate::scores;
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// What a component grants: `admit-terms` of its contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The permit that every call under the lease carries.
    pub permit: u64,
    /// How many outcomes and late scores may wait; 0 where each is to be recorded at once. Fewer are kept where there is no
    /// room for what is asked of them.
    pub outcomes_max: u32,
    /// Outcomes must be settled before this time, in nanoseconds.
    pub until: Option<u64>,
    /// Outcomes may take no longer than this, in nanoseconds.
    pub latency_max: Option<u64>,
    /// The score that a success without one counts for.
    pub missing_score: Option<i64>,
    /// What the sum of k scores must be at least, at k - 1. None where any score is benign.
    pub score_sums_min: Option<&'a [i64]>,
    /// Whether more scores than that may come: the sum of the last so many is then bound by the last of them.
    pub scores_roll: bool,
    /// How many scores are to be taken out: the last so many, or all if there are fewer.
    pub scores_last: u32,
    /// Whether the details of each success are to be taken out.
    pub details: bool,
    /// A number of the host's own, which it gets back for each outcome that is kept.
    pub tag: u32,
}

/// The longest table of bounds on sums that is looked at.
const SUMS_MAX: usize = scores::SLOTS;

/// [`Held::flags`]: a success without a score counts for [`Held::missing_score`].
const MISSING: u32 = 1;
/// Scores are to be taken out, or have a bound.
const SCORES: u32 = 2;
const DETAILS: u32 = 4;
/// Sums of scores have bounds.
const BOUND: u32 = 8;
const ROLL: u32 = 16;

/// What must hold of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    None,
    /// The sum of all scores up to it is this, at least.
    Sum {
        least: i64,
    },
    /// The sum of the last so many is this, at least.
    LastSum {
        scores: u32,
        least: i64,
    },
    /// No further score is benign.
    NoMore,
}

/// What is to be kept of something that is benign, its score set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Benign {
    /// In order with all others.
    pub(crate) score: Option<i64>,
    pub(crate) details: bool,
    pub(crate) tag: u32,
}

/// The terms in force. They are written while no lease is open, and who reads them makes sure that none was opened or taken
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Held {
    permit: AtomicU64,
    until: AtomicU64,
    latency_max: AtomicU64,
    missing_score: AtomicI64,
    flags: AtomicU32,
    tag: AtomicU32,
    scores_last: AtomicU32,
    sums_len: AtomicU32,
    sums: Box<[AtomicI64]>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            permit: AtomicU64::new(0),
            until: AtomicU64::new(0),
            latency_max: AtomicU64::new(0),
            missing_score: AtomicI64::new(0),
            flags: AtomicU32::new(0),
            tag: AtomicU32::new(0),
            scores_last: AtomicU32::new(0),
            sums_len: AtomicU32::new(0),
            sums: (0..SUMS_MAX).map(|_| AtomicI64::new(0)).collect(),
        }
    }
}

impl Terms<'_> {
    /// Whether scores matter at all.
    pub(crate) fn wants_scores(&self) -> bool {
        self.scores_last > 0 || self.score_sums_min.is_some()
    }

    /// How many outcomes there is room for. Where the last scores are enough, their ring may go round.
    pub(crate) fn room(&self) -> u32 {
        let scores_all = self.wants_scores() && (self.details || self.scores_last > scores::SLOTS as u32);
        self.outcomes_max.min(if scores_all { scores::SLOTS as u32 } else { COUNT_MAX })
    }
}

impl Held {
    pub(crate) fn set(&self, terms: &Terms<'_>) {
        self.permit.store(terms.permit, Ordering::Relaxed);
        self.until.store(terms.until.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.latency_max.store(terms.latency_max.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.missing_score.store(terms.missing_score.unwrap_or(0), Ordering::Relaxed);
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let sums = terms.score_sums_min.unwrap_or_default();
        // A table of which the end is cut off doesn't roll.
        let roll = terms.scores_roll && (1..=self.sums.len()).contains(&sums.len());
        let flags = flag(terms.missing_score.is_some(), MISSING)
            | flag(terms.wants_scores(), SCORES)
            | flag(terms.details, DETAILS)
            | flag(terms.score_sums_min.is_some(), BOUND)
            | flag(roll, ROLL);
        self.flags.store(flags, Ordering::Relaxed);
        self.tag.store(terms.tag, Ordering::Relaxed);
        self.scores_last.store(terms.scores_last, Ordering::Relaxed);
        for (held, sum) in self.sums.iter().zip(sums) {
            held.store(*sum, Ordering::Relaxed);
        }
        // At most SUMS_MAX.
        self.sums_len.store(sums.len().min(self.sums.len()) as u32, Ordering::Relaxed);
    }

    /// Whether it may wait, its score set aside.
    #[inline]
    pub(crate) fn benign(&self, permit: u64, at: u64, entry: Entry) -> Option<Benign> {
        let flags = self.flags.load(Ordering::Relaxed);
        let (latency, score) = match entry {
            Entry::Success { latency, score: None, pending: false } if flags & MISSING != 0 => {
                (latency, Some(self.missing_score.load(Ordering::Relaxed)))
            }
            Entry::Success { latency, score, .. } => (latency, score),
            Entry::Late(score) => (0, Some(score)),
        };
        let score = score.filter(|_| flags & SCORES != 0);
        self.fits(permit, at, latency).then(|| Benign {
            score,
            details: flags & DETAILS != 0,
            tag: self.tag.load(Ordering::Relaxed),
        })
    }

    /// The tag of a success that may wait, where nothing is to be known of it but that it was.
    #[inline(always)]
    pub(crate) fn counted(&self, permit: u64, at: u64, latency: u64, is_scored: bool) -> Option<u32> {
        let score = if is_scored { SCORES } else { MISSING };
        let plain = self.flags.load(Ordering::Relaxed) & (score | DETAILS) == 0;
        (plain && self.fits(permit, at, latency)).then(|| self.tag.load(Ordering::Relaxed))
    }

    /// The tag of a success with a score that may wait, where nothing is to be known of it but that score.
    #[inline(always)]
    pub(crate) fn scored(&self, permit: u64, at: u64, latency: u64) -> Option<u32> {
        let plain = self.flags.load(Ordering::Relaxed) & (SCORES | DETAILS) == SCORES;
        (plain && self.fits(permit, at, latency)).then(|| self.tag.load(Ordering::Relaxed))
    }

    /// Whether a success may be recorded with what waits, whatever its score and wherever its place.
    #[inline(always)]
    pub(crate) fn fits(&self, permit: u64, at: u64, latency: u64) -> bool {
        permit == self.permit.load(Ordering::Relaxed)
            && at < self.until.load(Ordering::Relaxed)
            && latency <= self.latency_max.load(Ordering::Relaxed)
    }

    /// What must hold of the score that comes after so many.
    #[inline]
    pub(crate) fn bound(&self, scores: u32) -> Bound {
        let flags = self.flags.load(Ordering::Relaxed);
        if flags & BOUND == 0 {
            return Bound::None;
        }
        let len = self.sums_len.load(Ordering::Relaxed);
        let sum = |place: u32| self.sums.get(place as usize).map_or(i64::MAX, |sum| sum.load(Ordering::Relaxed));
        if scores < len {
            Bound::Sum { least: sum(scores) }
        } else if flags & ROLL != 0 {
            Bound::LastSum { scores: len, least: sum(len.wrapping_sub(1)) }
        } else {
            Bound::NoMore
        }
    }

    /// Whether a success's score is to be known.
    #[inline(always)]
    pub(crate) fn wants_scores(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & SCORES != 0
    }

    pub(crate) fn scores_last(&self) -> u32 {
        self.scores_last.load(Ordering::Relaxed)
    }

    pub(crate) fn wants_details(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & DETAILS != 0
    }

    /// What a success without a score counts for.
    pub(crate) fn missing_score(&self) -> Option<i64> {
        let missing = self.flags.load(Ordering::Relaxed) & MISSING != 0;
        missing.then(|| self.missing_score.load(Ordering::Relaxed))
    }
}
