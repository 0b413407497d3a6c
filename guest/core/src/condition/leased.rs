//! Many successes at once, as a lease keeps them: condition by condition, so that each is looked up once for all of them.

use super::{Condition, Leaf, LeafState, Record, Tree};
use crate::score::Score;
use crate::time::Nanos;
use crate::window::Extent;

/// Successes and late scores that change no decision, all of one slice of every window by time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeasedRecords<'a> {
    /// How many successes.
    pub(crate) successes: u32,
    /// The successes', oldest first; empty where no condition looks at them.
    pub(crate) latencies: &'a [Nanos],
    /// Of successes and late scores: the last of them at least, oldest first, and as many as any condition looks at.
    pub(crate) scores: &'a [Score],
}

impl Tree {
    /// Shows the records to every leaf. `since_origin`: of any time at which one of them happened.
    pub(crate) fn record_leased(&mut self, leaves: &[Leaf], records: LeasedRecords<'_>, since_origin: Nanos) {
        for (leaf, state) in leaves.iter().zip(&mut self.states) {
            state.record_leased(&leaf.condition, records, since_origin);
        }
    }
}

impl LeafState {
    fn record_leased(&mut self, condition: &Condition, records: LeasedRecords<'_>, since_origin: Nanos) {
        let LeasedRecords { successes, latencies, scores } = records;
        match (&mut *self, *condition) {
            (_, Condition::QualityBelow { window, .. }) => {
                let needed = match window.extent {
                    Extent::Count(capacity) => scores.len().saturating_sub(capacity as usize),
                    Extent::Span { .. } => 0,
                };
                for score in scores.iter().skip(needed) {
                    self.record_score(window, Some(*score), since_origin);
                }
            }
            (Self::Window(samples), Condition::ErrorRateAbove { window, .. }) => {
                samples.roll(window.extent, since_origin);
                samples.push_misses(window.extent, successes);
            }
            // Without latencies they are known to be within the limit.
            (Self::Window(samples), Condition::SlowCallRateAbove { window, .. }) if latencies.is_empty() => {
                samples.roll(window.extent, since_origin);
                samples.push_misses(window.extent, successes);
            }
            (Self::Streak(streak), _) if successes > 0 => *streak = 0,
            _ => {
                for &latency in latencies {
                    let record = Record { failed: false, latency, score: None, verdicts: &[] };
                    self.record(condition, &record, since_origin);
                }
            }
        }
    }
}
