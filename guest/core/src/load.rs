//! Adaptive thresholds: how many calls were settled in the last minute, and how strict that makes the policy.

use crate::time::{Instant, MINUTE, Nanos};
use alloc::collections::VecDeque;
use serde::Serialize;

/// What changes while the load is above a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Tier {
    /// The tier counts while more calls than this were settled in the last 60 s.
    pub(crate) calls_per_minute_above: u32,
    /// The limit of every `consecutive_failures`.
    pub(crate) consecutive_failures: Option<u32>,
    pub(crate) half_open_after: Option<Nanos>,
}

/// The settled calls of the last minute, as many as tell the tiers apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Oldest first.
    pub(crate) settled: VecDeque<Instant>,
}

impl Load {
    /// Notes a settled call; `tiers` are the policy's, strictest first.
    pub(crate) fn note(&mut self, tiers: &[Tier], now: Instant) {
        let Some(strictest) = tiers.first() else { return };
        // One more than the largest limit tells whether it is exceeded.
        if self.settled.len() > strictest.calls_per_minute_above as usize {
            self.settled.pop_front();
        }
        self.settled.push_back(now);
    }

    /// How many calls were settled less than 60 s ago; at most one more than the largest limit.
    pub(crate) fn calls_per_minute(&self, now: Instant) -> u32 {
        let old = self.settled.partition_point(|at| now.since(*at) >= MINUTE);
        // At most CALLS_PER_MINUTE_MAX + 1.
        (self.settled.len() - old) as u32
    }

    /// The strictest tier whose limit is exceeded.
    pub(crate) fn tier<'t>(&self, tiers: &'t [Tier], now: Instant) -> Option<&'t Tier> {
        if tiers.is_empty() {
            return None;
        }
        let calls = self.calls_per_minute(now);
        tiers.iter().find(|tier| calls > tier.calls_per_minute_above)
    }
}
