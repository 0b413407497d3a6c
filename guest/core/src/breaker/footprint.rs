//! How much memory a breaker takes, so that a host can tell beforehand how many it has room for.

use super::Breaker;
use super::rare::Rare;
use crate::condition::{LeafState, States, any_by_time};
use crate::policy::Policy;
use crate::time::Instant;
use core::mem::size_of;

impl Policy {
    /// Bytes of memory that a breaker takes once its windows are full. What its trips and probes leave, and the allocator's
    /// own needs, come on top.
    pub fn breaker_bytes(&self) -> u64 {
        let leaves = self.leaves.iter().map(|leaf| {
            let (values, hits) = (leaf.condition.keeps_values(), !leaf.condition.is_quality());
            leaf.condition.window().map_or(0, |window| window.extent.heap_bytes(values, hits))
        });
        // What is few has its place in the breaker.
        let states =
            if self.leaves.len() * size_of::<LeafState>() > size_of::<States>() { self.leaves.len() } else { 0 };
        let states = (states * size_of::<LeafState>()) as u64;
        let rare = if self.backoff.jitter == 0.0 && self.adaptive.is_empty() { 0 } else { size_of::<Rare>() as u64 };
        let origin = if any_by_time(&self.leaves) { size_of::<Option<Instant>>() as u64 } else { 0 };
        // A ring that doubles as it grows.
        let load = self.adaptive.first().map_or(0, |strictest| {
            (u64::from(strictest.calls_per_minute_above) + 2).next_power_of_two() * size_of::<Instant>() as u64
        });
        size_of::<Breaker>() as u64 + states + leaves.sum::<u64>() + load + rare + origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> u64 {
        Policy::parse(text).expect("a good policy").breaker_bytes()
    }

    #[test]
    fn windows_are_most_of_it() {
        let small = bytes("trip_on = { consecutive_failures = 3 }");
        assert!((150..1_000).contains(&small), "{small}");
        let scores = bytes("trip_on = { quality_below = { threshold = 0.7, window = 100_000 } }");
        assert!((800_000..801_000).contains(&scores), "{scores}");
        let hits = bytes("trip_on = { error_rate_above = { rate = 0.5, window = 100_000 } }");
        assert!((12_500..14_000).contains(&hits), "{hits}");
        // Each latency, and a bit for whether it is above the threshold.
        let latencies = bytes("trip_on = { latency_above = { threshold_ms = 1, window = 100_000 } }");
        assert_eq!(latencies, scores + 100_000u64.div_ceil(64) * 8);
        let slices = "trip_on = { error_rate_above = { rate = 0.5, window = \"60s\", slices = 1000 } }";
        assert!(bytes(slices) > 20_000, "{}", bytes(slices));
    }
}
