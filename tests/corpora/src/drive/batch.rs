//! What was recorded late, with columns that fit and columns that don't.

use super::{Driver, same};
use crate::ops::{BATCH_MAX, EntryIn, Span, Which};
use softfuse_core::{LeasedBatch, LeasedError, Score};

impl Driver {
    pub(super) fn batch(&mut self, which: Which, step: Span, refused: u64, entries: &[EntryIn]) {
        let permit = self.pick(which);
        let was = self.status();
        let mut at = self.now;
        let (mut settled_at, mut latencies, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries.iter().take(BATCH_MAX) {
            at = at.saturating_add(step.nanos());
            let units = match *entry {
                EntryIn::Success(latency, units, _) => {
                    settled_at.push(at);
                    latencies.push(latency.nanos());
                    units
                }
                EntryIn::Late(units) => units,
            };
            scores.extend(units.and_then(Score::from_units));
        }
        // At most BATCH_MAX.
        let successes = latencies.len() as u32;
        // Which columns there are is as arbitrary as how many calls were refused.
        if refused & 1 == 0 {
            settled_at.clear();
        }
        if refused & 2 == 0 {
            latencies.clear();
        }
        let uneven = refused & 12 == 12;
        if uneven {
            latencies.push(1);
        }
        let uneven = uneven && latencies.len() != successes as usize;
        let batch = LeasedBatch { successes, settled_at: &settled_at, latencies: &latencies, scores: &scores, refused };
        match self.breaker.record_leased(permit, batch, at) {
            Err(error) => {
                self.tally.errors += 1;
                assert!(!uneven || error == LeasedError::UnequalColumns, "{error:?} of columns that don't fit");
                assert!(same(&was, &self.status()), "{error:?} of a batch changed something");
            }
            Ok(settlement) => {
                assert!(!uneven, "columns that don't fit");
                self.now = at;
                let calls = u64::from(successes);
                let event = settlement.event.as_deref();
                self.check_event(was.state, event);
                let totals = self.status().totals;
                assert_eq!(
                    totals.successes,
                    was.totals.successes.saturating_add(calls),
                    "calls of a batch are counted"
                );
                assert_eq!(totals.rejections, was.totals.rejections.saturating_add(refused), "so are its refusals");
            }
        }
    }
}
