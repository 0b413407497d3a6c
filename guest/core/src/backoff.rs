//! How long a circuit stays open: exponential backoff with a cap and seeded jitter.

use crate::time::{MINUTE, Nanos};
use serde::Serialize;

/// The growth of open periods. The default doesn't grow and has no jitter, as in the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Backoff {
    /// Each re-opening since the last close multiplies the period by this: 1 or more.
    pub(crate) multiplier: f64,
    /// No period is longer than this, jitter included.
    pub(crate) max: Nanos,
    /// A period is drawn evenly from `1 - jitter` to `1 + jitter` times its length: 0 to 1.
    pub(crate) jitter: f64,
    pub(crate) seed: u64,
}

/// Default cap: 10 minutes.
const MAX: Nanos = 10 * MINUTE;

impl Default for Backoff {
    fn default() -> Self {
        Self { multiplier: 1.0, max: MAX, jitter: 0.0, seed: 0 }
    }
}

impl Backoff {
    /// The open period after `reopens` re-openings; `draw` is the breaker's jitter seed with the opening's number.
    pub(crate) fn period(&self, base: Nanos, reopens: u32, draw: u64) -> Nanos {
        if self.multiplier == 1.0 && self.jitter == 0.0 {
            return base;
        }
        let cap = self.max as f64;
        let mut period = base as f64;
        // `powi` needs std. The loop ends early: at the cap, or where nothing grows.
        for _ in 0..reopens {
            if period >= cap || self.multiplier == 1.0 {
                break;
            }
            period *= self.multiplier;
        }
        // 53 random bits make an even number in 0..1.
        let even = (mix(draw) >> 11) as f64 / (1u64 << 53) as f64;
        period *= 1.0 + self.jitter * (2.0 * even - 1.0);
        // `as` saturates; a period of no time at all would not be open.
        (period.min(cap) as Nanos).max(1)
    }

    /// The seed of one breaker's jitter: replicas with different salts draw different periods.
    pub(crate) fn breaker_seed(&self, name: &str, salt: u64) -> u64 {
        let name = name.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
        mix(mix(self.seed ^ name) ^ salt)
    }
}

/// `SplitMix64`'s step (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    #[test]
    fn grows_to_the_cap_and_not_beyond() {
        let backoff = Backoff { multiplier: 2.0, max: 300 * SECOND, ..Backoff::default() };
        let periods: [u64; 5] = core::array::from_fn(|n| backoff.period(60 * SECOND, n as u32, 0) / SECOND);
        assert_eq!(periods, [60, 120, 240, 300, 300]);
        assert_eq!(backoff.period(60 * SECOND, u32::MAX, 0), 300 * SECOND);
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_differs_by_salt() {
        let backoff = Backoff { jitter: 0.2, seed: 7, ..Backoff::default() };
        let periods: alloc::vec::Vec<u64> =
            (0..1000).map(|salt| backoff.period(10 * SECOND, 0, backoff.breaker_seed("chat", salt))).collect();
        assert!(periods.iter().all(|period| (8 * SECOND..=12 * SECOND).contains(period)));
        let mean = periods.iter().sum::<u64>() / 1000;
        assert!((9_900_000_000..=10_100_000_000).contains(&mean), "{mean}");
        let mut distinct = periods.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 990);
        assert_eq!(periods[5], backoff.period(10 * SECOND, 0, backoff.breaker_seed("chat", 5)));
    }
}
