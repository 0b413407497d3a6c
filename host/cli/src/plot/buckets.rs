//! A trace of any length in a fixed number of buckets: when it outgrows them, neighbours are joined and each spans twice
//! the time.

/// How many buckets there are: more than a plot has pixels across.
pub(crate) const BUCKETS_MAX: usize = 1_024;
/// What a bucket spans at first: a millisecond.
const SPAN_MIN: u64 = 1_000_000;
/// Bins of a latency histogram: two an octave from 0.1 ms on, up to beyond 30 days.
const LATENCY_BINS: usize = 72;
const LATENCY_MS_MIN: f64 = 0.1;
const BINS_PER_OCTAVE: f64 = 2.0;

/// One bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Calls that count for or against the service.
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) scored: u64,
    score_sum: f64,
    pub(crate) score_min: f64,
    pub(crate) score_max: f64,
    latencies: [u32; LATENCY_BINS],
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            calls: 0,
            failures: 0,
            scored: 0,
            score_sum: 0.0,
            score_min: f64::INFINITY,
            score_max: f64::NEG_INFINITY,
            latencies: [0; LATENCY_BINS],
        }
    }
}

impl Bucket {
    fn join(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.scored += other.scored;
        self.score_sum += other.score_sum;
        self.score_min = self.score_min.min(other.score_min);
        self.score_max = self.score_max.max(other.score_max);
        for (bin, other) in self.latencies.iter_mut().zip(other.latencies) {
            *bin = bin.saturating_add(other);
        }
    }

    /// Adds what is known of a call.
    pub(crate) fn add(&mut self, failure: Option<bool>, latency_ms: f64, score: Option<f64>) {
        if let Some(failure) = failure {
            self.calls += 1;
            self.failures += u64::from(failure);
        }
        if let Some(score) = score {
            self.scored += 1;
            self.score_sum += score;
            self.score_min = self.score_min.min(score);
            self.score_max = self.score_max.max(score);
        }
        let bin = (BINS_PER_OCTAVE * (latency_ms / LATENCY_MS_MIN).max(1.0).log2()) as usize;
        let bin = &mut self.latencies[bin.min(LATENCY_BINS - 1)];
        *bin = bin.saturating_add(1);
    }

    /// The mean score.
    pub(crate) fn mean_score(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.score_sum / self.scored as f64)
    }

    /// The share of failures.
    pub(crate) fn error_rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.failures as f64 / self.calls as f64)
    }

    /// The latency that this share of calls doesn't exceed, to the width of a bin: within a factor of the square root of 2.
    pub(crate) fn latency_ms(&self, share: f64) -> Option<f64> {
        let total: u64 = self.latencies.iter().map(|count| u64::from(*count)).sum();
        let wanted = ((total as f64 * share).ceil() as u64).max(1);
        let mut before = 0;
        for (bin, count) in self.latencies.iter().map(|count| u64::from(*count)).enumerate() {
            if before + count >= wanted {
                // As if the calls of a bin were spread over it evenly.
                let within = (wanted - before) as f64 / count.max(1) as f64;
                return Some(LATENCY_MS_MIN * 2_f64.powf((bin as f64 + within) / BINS_PER_OCTAVE));
            }
            before += count;
        }
        None
    }
}

/// The buckets of a trace.
#[derive(Debug)]
pub(crate) struct Buckets {
    first_at: i64,
    span: u64,
    buckets: Vec<Bucket>,
}

impl Buckets {
    /// None yet; times before `first_at` count as that.
    pub(crate) fn new(first_at: i64) -> Self {
        Self { first_at, span: SPAN_MIN, buckets: Vec::new() }
    }

    /// The bucket of an instant.
    pub(crate) fn at(&mut self, at: i64) -> &mut Bucket {
        let since = u64::try_from(at.saturating_sub(self.first_at)).unwrap_or(0);
        // Each turn halves the index, so there are at most 64.
        while since / self.span >= BUCKETS_MAX as u64 {
            self.double();
        }
        // Below BUCKETS_MAX by the loop.
        let index = (since / self.span) as usize;
        if index >= self.buckets.len() {
            self.buckets.resize_with(index + 1, Bucket::default);
        }
        &mut self.buckets[index]
    }

    fn double(&mut self) {
        self.span = self.span.saturating_mul(2);
        let joined = self.buckets.chunks(2).map(|pair| {
            let mut bucket = pair[0].clone();
            if let Some(other) = pair.get(1) {
                bucket.join(other);
            }
            bucket
        });
        self.buckets = joined.collect();
    }

    /// Each bucket that has something in it, with the middle of its time.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Bucket)> {
        let middle = |index: usize| {
            let offset = self.span.saturating_mul(index as u64).saturating_add(self.span / 2);
            self.first_at.saturating_add_unsigned(offset)
        };
        let filled = |bucket: &&Bucket| bucket.latencies.iter().any(|count| *count > 0);
        self.buckets
            .iter()
            .enumerate()
            .map(move |(index, bucket)| (middle(index), bucket))
            .filter(move |(_, b)| filled(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_as_buckets_join() {
        let mut buckets = Buckets::new(-5);
        let count = 100_000_u64;
        for index in 0..count {
            let at = -5 + (index * index) as i64 * 1_000;
            buckets.at(at).add(Some(index % 10 == 0), (index % 100) as f64, Some((index % 2) as f64));
        }
        let seen: Vec<&Bucket> = buckets.iter().map(|(_, bucket)| bucket).collect();
        assert!(seen.len() <= BUCKETS_MAX);
        assert_eq!(seen.iter().map(|bucket| bucket.calls).sum::<u64>(), count);
        assert_eq!(seen.iter().map(|bucket| bucket.failures).sum::<u64>(), count / 10);
        let mean = seen.iter().map(|bucket| bucket.score_sum).sum::<f64>() / count as f64;
        assert!((mean - 0.5).abs() < 1e-9);
        assert!(buckets.iter().zip(buckets.iter().skip(1)).all(|((a, _), (b, _))| a < b));
    }

    #[test]
    fn latencies_are_told_within_a_bin() {
        let mut bucket = Bucket::default();
        for ms in 1..=1_000 {
            bucket.add(Some(false), f64::from(ms), None);
        }
        for (share, ms) in [(0.5, 500.0), (0.95, 950.0)] {
            let found = bucket.latency_ms(share).unwrap();
            assert!((found / ms).log2().abs() <= 0.51, "{share}: {found}");
        }
        assert_eq!(Bucket::default().latency_ms(0.5), None);
        bucket.add(None, f64::MAX, None);
        bucket.add(None, 0.0, None);
    }
}
