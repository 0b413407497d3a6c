//! Many successes at once, as a lease keeps them: condition by condition, so that each is looked up once for all of them.

use super::{Condition, Leaf, LeafState, Record, Tree};
use crate::score::Score;
use crate::time::{Instant, Nanos};
use crate::window::{Extent, Samples};

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
        if let (Self::Window(Samples::Bits(ring)), Condition::ErrorRateAbove { window, .. }) = (&mut *self, condition)
            && let Extent::Count(capacity) = window.extent
        {
            // Fewer than fit into memory, and so than 2^32.
            ring.push_misses(capacity, records.iter().filter(|record| !record.late).count() as u32);
            return;
        }
        for &LeasedRecord { at, late, latency, score } in records {
            match *condition {
                Condition::QualityBelow { window, .. } if late => self.record_score(window, score, at.since(origin)),
                // It is no record to the others.
                _ if late => {}
                _ => {
                    let record = Record { failed: false, latency, score, verdicts: &[] };
                    self.record(condition, &record, at.since(origin));
                }
            }
        }
    }
}
