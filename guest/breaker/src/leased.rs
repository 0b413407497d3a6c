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

pub(crate) fn settlement(settled: core_::LeasedSettlement, next: Option<core_::Lease<'_>>) -> wit::LeasedSettlement {
    let events: Vec<wit::Event> = settled.events.into_iter().map(convert::event).collect();
    wit::LeasedSettlement { stale: settled.stale, events, lease: next.map(lease) }
}

/// A batch as it crosses: a list for each column costs a quarter of what a list of records does.
pub(crate) struct Columns<'a> {
    pub(crate) marks: &'a [u8],
    pub(crate) settled_at: &'a [u64],
    pub(crate) latencies: &'a [u64],
    pub(crate) scores: &'a [i64],
}

/// A late score.
const LATE: u8 = 1;
/// It has a score.
const SCORED: u8 = 2;
/// A success whose score is owed.
const PENDING: u8 = 4;

impl Columns<'_> {
    pub(crate) fn check(&self) -> Result<(), wit::LeasedError> {
        let len = self.marks.len();
        if [self.settled_at.len(), self.latencies.len(), self.scores.len()] != [len; 3] {
            return Err(wit::LeasedError::UnequalColumns);
        }
        for (index, (marks, score)) in self.marks.iter().zip(self.scores).enumerate() {
            // A list that fits into linear memory has fewer than 2^32 entries.
            if *marks & !(LATE | SCORED | PENDING) != 0 {
                return Err(wit::LeasedError::InvalidMarks(index as u32));
            }
            if *marks & SCORED != 0 && Score::from_units(*score).is_none() {
                return Err(wit::LeasedError::InvalidScore(index as u32));
            }
        }
        Ok(())
    }

    /// The entries of columns that were checked.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, Entry)> + '_ {
        let columns = self.marks.iter().zip(self.settled_at).zip(self.latencies).zip(self.scores);
        columns.map(|(((marks, settled_at), latency), score)| {
            let score = if *marks & SCORED != 0 { Score::from_units(*score) } else { None };
            let entry = if *marks & LATE != 0 {
                Entry::Late(score)
            } else {
                Entry::Success { latency: *latency, score, pending: *marks & PENDING != 0 }
            };
            (*settled_at, entry)
        })
    }
}
