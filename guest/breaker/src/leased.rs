//! Leases across the border: terms out, batches in.

use crate::bindings::exports::softfuse::breaker::breaker as wit;
use crate::convert;
use alloc::vec::Vec;
use softfuse_core as core_;
use softfuse_core::{Breaker, LeasedBatch, LeasedError, Permit, Score};

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
            scores_roll: terms.scores_roll,
            scores_last: terms.scores_last,
            details: details(terms.details),
        }),
    }
}

fn details(asked: core_::Details) -> wit::Details {
    let mut details = wit::Details::empty();
    details.set(wit::Details::SETTLED_AT, asked.settled_at);
    details.set(wit::Details::LATENCY, asked.latency);
    details
}

fn settlement(settled: core_::LeasedSettlement, next: Option<core_::Lease<'_>>) -> wit::LeasedSettlement {
    wit::LeasedSettlement { stale: settled.stale, event: settled.event.map(convert::event), lease: next.map(lease) }
}

/// Records a batch, and grants the next lease where that is wanted.
pub(crate) fn record(
    breaker: &mut Breaker,
    permit: wit::Permit,
    batch: LeasedBatch<'_>,
    now: wit::Nanos,
    renew: bool,
) -> Result<wit::LeasedSettlement, wit::LeasedError> {
    let settled = breaker.record_leased(Permit::from_bits(permit), batch, now).map_err(|error| match error {
        LeasedError::UnknownPermit => wit::LeasedError::UnknownPermit,
        LeasedError::UnequalColumns => wit::LeasedError::UnequalColumns,
    })?;
    Ok(settlement(settled, renew.then(|| breaker.grant_lease(now))))
}

/// Scores as they cross: in units of 10^-9.
pub(crate) fn scores(units: Vec<wit::QuantisedScore>) -> Result<Vec<Score>, wit::LeasedError> {
    // A list that fits into linear memory has fewer than 2^32 entries.
    let score =
        |(index, units): (usize, i64)| Score::from_units(units).ok_or(wit::LeasedError::InvalidScore(index as u32));
    units.into_iter().enumerate().map(score).collect()
}
