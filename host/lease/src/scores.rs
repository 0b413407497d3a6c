//! The scores under a lease: how many outcomes, how many scores, and the scores' sum, in one word.
//!
//! Scores have a bound at each of them, in order of arrival, so that those who bring one must meet. Meeting in one word
//! checks the bound, and gives each outcome its place in the order.

use crate::sync::{AtomicI64, AtomicU64, Ordering};

/// Bits of the sum, its sign among them; 9 bits each are left for the two counts, which go up to 256.
const SUM_BITS: u32 = 46;
const COUNT_BITS: u32 = 9;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// Sums beyond this don't fit: 35,184 in a score's own unit, where scores run from 0 to 1 by convention.
const SUM_MAX: i64 = (1 << (SUM_BITS - 1)) - 1;

/// The word.
#[derive(Debug, Default)]
pub(crate) struct Scores(AtomicU64);

#[derive(Clone, Copy)]
struct Added {
    outcomes: u64,
    scores: u64,
    sum: i64,
}

impl Added {
    fn unpack(word: u64) -> Self {
        Self {
            outcomes: word & COUNT_MASK,
            scores: word >> COUNT_BITS & COUNT_MASK,
            // The sign comes down with the shift.
            sum: (word as i64) >> (2 * COUNT_BITS),
        }
    }

    fn pack(self) -> u64 {
        (self.sum as u64) << (2 * COUNT_BITS) | self.scores << COUNT_BITS | self.outcomes
    }

    /// One outcome more, where that keeps to the bounds.
    fn and(self, score: Option<i64>, sums_min: &[AtomicI64], outcomes_max: u32) -> Option<Self> {
        if self.outcomes >= u64::from(outcomes_max) {
            return None;
        }
        let outcomes = self.outcomes + 1;
        let Some(score) = score else { return Some(Self { outcomes, ..self }) };
        let sum = self.sum.checked_add(score).filter(|sum| (-SUM_MAX..=SUM_MAX).contains(sum))?;
        let least = sums_min.get(self.scores as usize)?.load(Ordering::Relaxed);
        (sum >= least).then_some(Self { outcomes, scores: self.scores + 1, sum })
    }
}

impl Scores {
    /// Adds an outcome: its place in the order. `None` where it would break a bound.
    #[inline]
    pub(crate) fn add(&self, score: Option<i64>, sums_min: &[AtomicI64], outcomes_max: u32) -> Option<u32> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let added = Added::unpack(word);
            let next = added.and(score, sums_min, outcomes_max)?;
            match self.0.compare_exchange_weak(word, next.pack(), Ordering::AcqRel, Ordering::Relaxed) {
                // At most 256.
                Ok(_) => return Some(added.outcomes as u32),
                Err(now) => word = now,
            }
        }
    }

    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_sum_that_fits_is_packed_and_unpacked() {
        for sum in [0, 1, -1, SUM_MAX, -SUM_MAX, 1_000_000_000, -1_000_000_000] {
            for (outcomes, scores) in [(0, 0), (256, 256), (256, 0), (1, 1)] {
                let added = Added::unpack(Added { outcomes, scores, sum }.pack());
                assert_eq!((added.outcomes, added.scores, added.sum), (outcomes, scores, sum));
            }
        }
    }

    #[test]
    fn what_breaks_a_bound_changes_nothing() {
        let scores = Scores::default();
        let sums_min = [AtomicI64::new(5), AtomicI64::new(9)];
        assert_eq!(scores.add(Some(4), &sums_min, 3), None);
        assert_eq!(scores.add(Some(6), &sums_min, 3), Some(0));
        assert_eq!(scores.add(Some(2), &sums_min, 3), None);
        assert_eq!(scores.add(None, &sums_min, 3), Some(1));
        assert_eq!(scores.add(Some(i64::MAX), &sums_min, 3), None);
        assert_eq!(scores.add(Some(3), &sums_min, 3), Some(2));
        assert_eq!(scores.add(None, &sums_min, 3), None);
        scores.reset();
        assert_eq!(scores.add(Some(5), &sums_min[..1], 256), Some(0));
        // More scores than there are bounds.
        assert_eq!(scores.add(Some(5), &sums_min[..1], 256), None);
    }
}
