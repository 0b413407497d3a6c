//! Leases across the border: terms out, columns in.

use crate::bindings::exports::softfuse::breaker::breaker as wit;
use crate::convert;
use alloc::vec::Vec;
use softfuse_core as core_;
use softfuse_core::{Entry, Score};

pub(crate) fn lease(lease: core_::Lease<'_>) -> wit::Lease {
    match lease {
        core_::Lease::Ask => wit::Lease::Ask,
        core_::Lease::Refuse { until, rejection } => wit::Lease::Refuse(wit::RefuseTerms {
            until: until.map(convert::host_instant),
            rejection: convert::rejection(rejection),
        }),
        core_::Lease::Admit { permit, terms } => wit::Lease::Admit(wit::AdmitTerms {
            permit: permit.bits(),
            outcomes_max: terms.outcomes_max,
            until: terms.until.map(convert::host_instant),
            latency_max: terms.latency_max,
            missing_score: terms.missing_score.map(Score::units),
            score_sums_min: terms.score_sums_min,
        }),
    }
}

pub(crate) fn settlement(settled: core_::LeasedSettlement) -> wit::LeasedSettlement {
    let events: Vec<wit::Event> = settled.events.into_iter().map(convert::event).collect();
    wit::LeasedSettlement { stale: settled.stale, events }
}

/// A batch as it crosses: a list for each column costs a quarter of what a list of records does.
pub(crate) struct Columns<'a> {
    pub(crate) marks: &'a [wit::LeasedMarks],
    pub(crate) settled_at: &'a [u64],
    pub(crate) latencies: &'a [u64],
    pub(crate) scores: &'a [i64],
}

impl Columns<'_> {
    pub(crate) fn check(&self) -> Result<(), wit::LeasedError> {
        let len = self.marks.len();
        if [self.settled_at.len(), self.latencies.len(), self.scores.len()] != [len; 3] {
            return Err(wit::LeasedError::UnequalColumns);
        }
        let scored = self.marks.iter().zip(self.scores);
        let bad = scored
            .clone()
            .position(|(marks, score)| marks.contains(wit::LeasedMarks::SCORED) && Score::from_units(*score).is_none());
        // A list that fits into linear memory has fewer than 2^32 entries.
        bad.map_or(Ok(()), |index| Err(wit::LeasedError::InvalidScore(index as u32)))
    }

    /// The entries of columns that were checked.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, Entry)> + '_ {
        (0..self.marks.len()).map(|index| {
            let marks = self.marks[index];
            let scored = marks.contains(wit::LeasedMarks::SCORED);
            let score = scored.then(|| Score::from_units(self.scores[index])).flatten();
            let entry = if marks.contains(wit::LeasedMarks::LATE) {
                Entry::Late(score)
            } else {
                let pending = marks.contains(wit::LeasedMarks::PENDING);
                Entry::Success { latency: self.latencies[index], score, pending }
            };
            (self.settled_at[index], entry)
        })
    }
}
