//! Many successes at once, as a lease keeps them: condition by condition, so that each is looked up once for all of them.

use super::{Condition, Leaf, LeafState, Tree};
use crate::score::Score;
use crate::time::{Instant, Nanos};
use crate::window::{Extent, Sample, Samples};

/// A success, or a late score, in the order in which it happened: times don't run backwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeasedRecord {
    pub(crate) at: Instant,
    /// A score of a call that was recorded before. It has one.
    pub(crate) late: bool,
    pub(crate) latency: Nanos,
    pub(crate) score: Option<Score>,
}

impl Tree {
    /// Shows the records to every leaf.
    pub(crate) fn record_leased(&mut self, leaves: &[Leaf], records: &[LeasedRecord]) {
        let Some(first) = records.first() else { return };
        let origin = *self.origin.get_or_insert(first.at);
        for (leaf, state) in leaves.iter().zip(&mut self.states) {
            state.record_leased(&leaf.condition, records, origin);
        }
    }
}

impl LeafState {
    fn record_leased(&mut self, condition: &Condition, records: &[LeasedRecord], origin: Instant) {
        let settled = || records.iter().filter(|record| !record.late);
        match (self, *condition) {
            (Self::Window(samples), Condition::QualityBelow { window, .. }) => {
                for record in records {
                    samples.roll(window.extent, record.at.since(origin));
                    if let Some(score) = record.score {
                        samples.push(window.extent, Sample { value: score.units(), hit: false });
                    }
                }
            }
            (Self::Window(samples), Condition::LatencyAbove { threshold, window }) => {
                for record in settled() {
                    samples.roll(window.extent, record.at.since(origin));
                    let value = i64::try_from(record.latency).unwrap_or(i64::MAX);
                    samples.push(window.extent, Sample { value, hit: record.latency > threshold });
                }
            }
            (Self::Window(Samples::Bits(ring)), Condition::ErrorRateAbove { window, .. }) => {
                if let Extent::Count(capacity) = window.extent {
                    // Fewer than fit into memory, and so than 2^32.
                    ring.push_misses(capacity, settled().count() as u32);
                }
            }
            (Self::Window(samples), Condition::ErrorRateAbove { window, .. }) => {
                for record in settled() {
                    samples.roll(window.extent, record.at.since(origin));
                    samples.push(window.extent, Sample { value: 0, hit: false });
                }
            }
            (Self::Window(samples), Condition::SlowCallRateAbove { threshold, window, .. }) => {
                for record in settled() {
                    samples.roll(window.extent, record.at.since(origin));
                    let hit = record.latency > threshold;
                    samples.push(window.extent, Sample { value: i64::from(hit), hit });
                }
            }
            (Self::Streak(streak), Condition::ConsecutiveFailures { .. }) if settled().next().is_some() => *streak = 0,
            (Self::Verdict(verdict), Condition::Host { .. }) if settled().next().is_some() => *verdict = None,
            // Late scores alone, or what `new` doesn't pair.
            _ => {}
        }
    }
}
