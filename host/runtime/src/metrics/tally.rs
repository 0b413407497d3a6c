//! Numbers that a breaker counts into: plain integers, under one lock.

use std::time::Duration;

use softfuse_lease::{Batch, Marks};

use crate::types::{OutcomeKind, Score};

/// Upper bounds of the latency buckets, in seconds: from a cached embedding to a long generation.
pub const LATENCY_BUCKETS_SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];

/// Upper bounds of the score buckets. Scores run from 0 to 1 by convention; what is over falls into the last.
pub const SCORE_BUCKETS: [f64; 13] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0];

/// What happened to a breaker's calls, or to those of a keyed family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    pub(crate) neutral: u64,
    pub(crate) rejected: u64,
    pub(crate) unguarded: u64,
    pub(crate) trips: u64,
    pub(super) leased: u64,
    pub(super) scores: Samples<{ SCORE_BUCKETS.len() + 1 }>,
    pub(super) latencies: Samples<{ LATENCY_BUCKETS_SECONDS.len() + 1 }>,
}

/// A histogram: samples in each bucket, the last of which has no upper bound.
#[derive(Clone, Debug)]
pub(super) struct Samples<const N: usize> {
    counts: [u64; N],
    sum: f64,
}

impl<const N: usize> Default for Samples<N> {
    fn default() -> Self {
        Self { counts: [0; N], sum: 0.0 }
    }
}

impl<const N: usize> Samples<N> {
    fn add(&mut self, bounds: &[f64], sample: f64) {
        // Few bounds: looking at each costs less than halving them.
        let bucket = bounds.iter().take_while(|&&bound| sample > bound).count();
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += sample;
    }

    /// The sum, the count, and each bucket's bound and count.
    pub(super) fn exposed(&self, bounds: &[f64]) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        (self.sum, self.counts.iter().sum(), bounds.zip(self.counts).collect())
    }
}

impl Tally {
    /// A call was settled.
    pub(crate) fn settled(&mut self, kind: OutcomeKind, latency: Duration) {
        if kind.is_failure() {
            self.failures += 1;
        } else if kind.is_neutral() {
            self.neutral += 1;
        } else {
            self.successes += 1;
        }
        self.latencies.add(&LATENCY_BUCKETS_SECONDS, latency.as_secs_f64());
    }

    /// What happened under a lease.
    pub(crate) fn leased(&mut self, batch: &Batch) {
        self.rejected += batch.refused;
        self.leased += batch.len() as u64;
        for ((marks, latency), score) in batch.marks.iter().zip(&batch.latencies).zip(&batch.scores) {
            let marks = Marks::from_bits(*marks);
            if !marks.contains(Marks::LATE) {
                self.successes += 1;
                self.latencies.add(&LATENCY_BUCKETS_SECONDS, *latency as f64 / 1e9);
            }
            if marks.contains(Marks::SCORED) {
                self.scores.add(&SCORE_BUCKETS, *score as f64 / 1e9);
            }
        }
    }

    /// An answer was scored, with its outcome or later.
    pub(crate) fn scored(&mut self, score: Score) {
        self.scores.add(&SCORE_BUCKETS, score.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_at_a_bound_is_within_it() {
        let mut samples = Samples::<3>::default();
        for sample in [0.5, 1.0, 1.5, 2.0, 7.0] {
            samples.add(&[1.0, 2.0], sample);
        }
        assert_eq!(samples.exposed(&[1.0, 2.0]), (12.0, 5, vec![(1.0, 2), (2.0, 2), (f64::INFINITY, 1)]));
    }
}
