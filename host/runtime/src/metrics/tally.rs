//! Numbers that a breaker counts into. Each thread has its own where it can, so that none waits for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use softfuse_lease::{Batch, thread_number};

use crate::types::{OutcomeKind, Score};

/// Upper bounds of the latency buckets, in seconds: from a cached embedding to a long generation.
pub const LATENCY_BUCKETS_SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];

/// Upper bounds of the score buckets. Scores run from 0 to 1 by convention; what is over falls into the last.
pub const SCORE_BUCKETS: [f64; 13] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0];

/// [`LATENCY_BUCKETS_SECONDS`] in nanoseconds.
const LATENCY_BUCKETS: [i64; LATENCY_BUCKETS_SECONDS.len()] = nanos(LATENCY_BUCKETS_SECONDS);
/// What all of [`SCORE_BUCKETS`] are multiples of, in a score's units of 10^-9: .05.
const SCORE_STEP: u32 = 50_000_000;
/// Steps up to the last of [`SCORE_BUCKETS`], and one beyond.
const SCORE_STEPS: usize = 22;
/// The bucket of the scores up to so many steps.
const SCORE_BUCKET_OF: [u8; SCORE_STEPS] = {
    let (bounds, mut found, mut step) = (nanos(SCORE_BUCKETS), [0; SCORE_STEPS], 0);
    while step < SCORE_STEPS {
        let mut bucket = 0;
        while bucket < bounds.len() && bounds[bucket] < step as i64 * SCORE_STEP as i64 {
            assert!(bounds[bucket] % SCORE_STEP as i64 == 0, "a bound of SCORE_BUCKETS is no multiple of SCORE_STEP");
            bucket += 1;
        }
        found[step] = bucket as u8;
        step += 1;
    }
    assert!(found[SCORE_STEPS - 1] as usize == bounds.len(), "SCORE_STEPS doesn't reach beyond SCORE_BUCKETS");
    found
};

/// Bounds in billionths, to the nearest.
const fn nanos<const N: usize>(bounds: [f64; N]) -> [i64; N] {
    let (mut found, mut place) = ([0; N], 0);
    while place < N {
        // None is as large as 2^63 / 10^9.
        found[place] = (bounds[place] * 1e9 + 0.5) as i64;
        place += 1;
    }
    found
}

/// Threads that may have numbers of their own, at most.
const OWN_MAX: usize = 32;

/// What happened to a breaker's calls, or to those of a keyed family. Whoever counts often holds a clone, which is the same.
#[derive(Clone, Debug)]
pub(crate) struct Tallies {
    /// First those of single threads, then as many for all others together.
    parts: Arc<[CachePadded<Part>]>,
}

/// What is counted one by one. Successes are counted by their latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Failures,
    Neutral,
    Rejected,
    Unguarded,
    Trips,
    Leased,
}

const COUNTS: usize = Count::Leased as usize + 1;

#[derive(Debug, Default)]
#[repr(C)]
struct Part {
    /// Latencies of successes: all that is written of most calls, in a line or two.
    successes: Latencies,
    /// Those of all other calls.
    others: Latencies,
    scores: Samples<{ SCORE_BUCKETS.len() + 1 }>,
    counts: [AtomicU64; COUNTS],
}

type Latencies = Samples<{ LATENCY_BUCKETS.len() + 1 }>;

/// A histogram: samples in each bucket, the last of which has no upper bound.
#[derive(Debug)]
#[repr(C)]
struct Samples<const N: usize> {
    /// The bits of a float.
    sum: AtomicU64,
    counts: [AtomicU64; N],
}

impl<const N: usize> Default for Samples<N> {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; N], sum: AtomicU64::new(0) }
    }
}

/// What was counted, read part by part.
pub(super) struct Sampled {
    pub(super) sum: f64,
    pub(super) count: u64,
    /// Each bucket's upper bound and count.
    pub(super) buckets: Vec<(f64, u64)>,
}

/// The bucket of a latency. Few bounds: looking at each costs less than halving them.
#[inline(always)]
fn latency_bucket(nanos: i64) -> usize {
    LATENCY_BUCKETS.iter().take_while(|&&bound| nanos > bound).count()
}

/// The bucket of a score in units of 10^-9. Scores wobble: looking at bound after bound, a processor would guess wrong at
/// which to stop, call by call.
#[inline(always)]
fn score_bucket(units: i64) -> usize {
    // In range by the clamp.
    let steps = (units.clamp(0, i32::MAX.into()) as u32).div_ceil(SCORE_STEP) as usize;
    usize::from(SCORE_BUCKET_OF[steps.min(SCORE_STEPS - 1)])
}

/// Adds to what only this thread writes, or to what others write, too.
#[inline(always)]
fn add(to: &AtomicU64, more: u64, own: bool) {
    if own {
        to.store(to.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    } else {
        to.fetch_add(more, Ordering::Relaxed);
    }
}

impl<const N: usize> Samples<N> {
    #[inline(always)]
    fn add(&self, bucket: usize, value: f64, own: bool) {
        if let Some(count) = self.counts.get(bucket) {
            add(count, 1, own);
        }
        let sum = |bits: u64| (f64::from_bits(bits) + value).to_bits();
        if own {
            self.sum.store(sum(self.sum.load(Ordering::Relaxed)), Ordering::Relaxed);
        } else {
            let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| Some(sum(bits)));
        }
    }
}

impl Tallies {
    /// For a machine with so many cores.
    pub(super) fn new(cores: usize) -> Self {
        // Twice as many threads as cores is what most services have at work.
        let own = (2 * cores).next_power_of_two().min(OWN_MAX);
        Self { parts: (0..2 * own).map(|_| CachePadded::default()).collect() }
    }

    /// This thread's part, and whether no other thread writes there.
    #[inline(always)]
    fn part(&self) -> (&Part, bool) {
        let owners = self.parts.len() / 2;
        match thread_number() {
            Some(number) if number < owners => (&self.parts[number], true),
            number => (&self.parts[owners + number.unwrap_or(0) % owners], false),
        }
    }

    #[inline]
    pub(crate) fn count(&self, what: Count, more: u64) {
        let (part, own) = self.part();
        add(&part.counts[what as usize], more, own);
    }

    /// A call was settled, with a score in units of 10^-9 perhaps.
    #[inline(always)]
    pub(crate) fn settled(&self, kind: OutcomeKind, latency_nanos: u64, score: Option<i64>) {
        let (part, own) = self.part();
        let latency = i64::try_from(latency_nanos).unwrap_or(i64::MAX);
        let latencies = if kind == OutcomeKind::Success {
            &part.successes
        } else {
            let count = if kind.is_failure() { Count::Failures } else { Count::Neutral };
            add(&part.counts[count as usize], 1, own);
            &part.others
        };
        latencies.add(latency_bucket(latency), latency as f64, own);
        if let Some(units) = score {
            part.scores.add(score_bucket(units), units as f64, own);
        }
    }

    /// An answer was scored, after its call was settled.
    #[inline]
    pub(crate) fn scored(&self, score: Score) {
        let (part, own) = self.part();
        let units = score.units();
        part.scores.add(score_bucket(units), units as f64, own);
    }

    /// What was recorded under a lease, whose calls are counted already, and refused.
    pub(crate) fn leased(&self, batch: &Batch) {
        self.count(Count::Rejected, batch.refused);
        self.count(Count::Leased, batch.len());
    }

    pub(super) fn counted(&self, what: Count) -> u64 {
        self.parts.iter().map(|part| part.counts[what as usize].load(Ordering::Relaxed)).sum()
    }

    pub(super) fn successes(&self) -> u64 {
        self.parts.iter().flat_map(|part| &part.successes.counts).map(|count| count.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn latencies(&self) -> Sampled {
        read(self.parts.iter().flat_map(|part| [&part.successes, &part.others]), &LATENCY_BUCKETS_SECONDS, 1e-9)
    }

    pub(super) fn scores(&self) -> Sampled {
        read(self.parts.iter().map(|part| &part.scores), &SCORE_BUCKETS, 1e-9)
    }
}

fn read<'s, const N: usize>(all: impl Iterator<Item = &'s Samples<N>>, bounds: &[f64], unit: f64) -> Sampled {
    let (mut sum, mut counts) = (0.0, [0; N]);
    for samples in all {
        sum += f64::from_bits(samples.sum.load(Ordering::Relaxed));
        for (count, more) in counts.iter_mut().zip(&samples.counts) {
            *count += more.load(Ordering::Relaxed);
        }
    }
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    Sampled { sum: sum * unit, count: counts.iter().sum(), buckets: bounds.zip(counts).collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sample_at_a_bound_is_within_it() {
        let tallies = Tallies::new(1);
        for millis in [1, 5, 6, 300_000, 300_001] {
            let nanos = Duration::from_millis(millis).as_nanos() as u64;
            tallies.settled(OutcomeKind::Success, nanos, Some(700_000_000));
        }
        let latencies = tallies.latencies();
        assert_eq!((latencies.count, latencies.buckets[0], latencies.buckets[1]), (5, (0.005, 2), (0.01, 1)));
        assert_eq!(latencies.buckets[15..], [(300.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(tallies.successes(), 5);
        assert!((latencies.sum - 600.013).abs() < 1e-9);
        let scores = tallies.scores();
        assert_eq!((scores.count, scores.buckets[7]), (5, (0.7, 5)));
        assert!((scores.sum - 3.5).abs() < 1e-9);
    }

    #[test]
    fn a_score_has_the_bucket_of_the_first_bound_that_it_does_not_exceed() {
        let bounds = nanos(SCORE_BUCKETS);
        let around = bounds.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]);
        for units in around.chain([i64::MIN, -1_000_000_000_000_000, 2_147_483_647, 2_147_483_648, i64::MAX]) {
            let expected = bounds.iter().take_while(|&&bound| units > bound).count();
            assert_eq!(score_bucket(units), expected, "{units}");
        }
    }

    #[test]
    fn many_threads_lose_no_count() {
        let tallies = Tallies::new(1);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        tallies.settled(OutcomeKind::Error, 1_000_000_000, Some(1_000_000_000));
                        tallies.count(Count::Rejected, 2);
                    }
                });
            }
        });
        assert_eq!((tallies.counted(Count::Failures), tallies.counted(Count::Rejected)), (80_000, 160_000));
        assert_eq!((tallies.latencies().sum, tallies.latencies().count), (80_000.0, 80_000));
        assert_eq!(tallies.scores().count, 80_000);
        assert!((tallies.scores().sum - 80_000.0).abs() < 1e-6);
    }
}
