//! Granting leases, and recording what happened under them.

use super::{Breaker, Phase, Rejection, Standing};
use crate::condition::LeasedRecords;
use crate::event::MaybeEvent;
use crate::lease::{self, AdmitTerms};
use crate::permit::Permit;
use crate::score::Score;
use crate::time::{Instant, Nanos};

/// What a host may do without asking.
#[derive(Clone, Debug, PartialEq)]
pub enum Lease<'a> {
    /// Nothing.
    Ask,
    /// Admit, each call with this permit, and record benign outcomes late, as far as the terms allow.
    Admit {
        /// What leased calls settle.
        permit: Permit,
        /// What is benign.
        terms: AdmitTerms,
    },
    /// Refuse, and count.
    Refuse {
        /// From when on it must ask again.
        until: Option<Instant>,
        /// How to refuse.
        rejection: Rejection<'a>,
    },
}

/// What happened under a lease, in the order in which it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeasedBatch<'a> {
    /// Successes.
    pub successes: u32,
    /// When each of them was settled; empty where the terms don't ask for it.
    pub settled_at: &'a [Nanos],
    /// How long each of them took; empty where the terms don't ask for it.
    pub latencies: &'a [Nanos],
    /// Scores of successes and late ones alike, missing scores filled in; at least the last `scores_last` of them.
    pub scores: &'a [Score],
    /// Calls that were refused.
    pub refused: u64,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeasedSettlement {
    /// It came too late to count.
    pub stale: bool,
    /// The change of state that it made; none, where the host kept to its lease.
    pub event: MaybeEvent,
}

/// Why a batch was not taken. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeasedError {
    /// Never given out by this breaker, or a probe's.
    UnknownPermit,
    /// A column is neither empty nor as long as there are successes.
    UnequalColumns,
}

impl Breaker {
    /// What the host may do unasked from now on, until it changes the breaker otherwise than by
    /// [`record_leased`](Self::record_leased).
    pub fn grant_lease(&self, now: Nanos) -> Lease<'_> {
        let now = self.peek(now);
        let permit = Permit::of_generation(self.generation);
        match &self.phase {
            Phase::Closed | Phase::MetricsOnly => {
                let failures = self.failures_limit(now);
                let terms = lease::terms(&self.policy, &self.tree, self.origin.at(), failures, now);
                let terms = terms.unwrap_or_else(|| AdmitTerms::admit_only(self.policy.missing()));
                Lease::Admit { permit, terms }
            }
            Phase::Disabled => Lease::Admit { permit, terms: AdmitTerms::free(self.policy.missing()) },
            Phase::Open { until } if now < **until => {
                Lease::Refuse { until: Some(**until), rejection: self.rejection(now) }
            }
            Phase::ForcedOpen => Lease::Refuse { until: None, rejection: self.rejection(now) },
            Phase::Open { .. } | Phase::HalfOpen(_) => Lease::Ask,
        }
    }

    /// Records what happened under a lease. `now` is the latest time at which anything did.
    ///
    /// The conditions are evaluated once, after the last of them: a host that keeps to its lease can't make one hold before.
    ///
    /// # Errors
    /// For a permit that was never given out, and for columns that don't fit; nothing has changed then.
    pub fn record_leased(
        &mut self,
        permit: Permit,
        batch: LeasedBatch<'_>,
        now: Nanos,
    ) -> Result<LeasedSettlement, LeasedError> {
        let LeasedBatch { successes, settled_at, latencies, scores, refused } = batch;
        if [settled_at.len(), latencies.len()].iter().any(|len| *len != 0 && *len != successes as usize) {
            return Err(LeasedError::UnequalColumns);
        }
        let mut settlement = LeasedSettlement::default();
        if successes > 0 || !scores.is_empty() {
            let standing = self.standing(permit, self.latest);
            if permit.probe() != 0 || standing == Standing::Unknown {
                return Err(LeasedError::UnknownPermit);
            }
            self.successes = self.successes.saturating_add(successes.into());
            if standing != Standing::Current {
                settlement.stale = true;
                self.count_stale(successes.into());
            } else if !matches!(self.phase, Phase::Disabled) {
                settlement.event = self.take_places(batch, now);
            }
        }
        self.count_rejections(refused);
        self.see(now);
        Ok(settlement)
    }

    /// Records of a closed or metrics-only circuit take their places.
    fn take_places(&mut self, batch: LeasedBatch<'_>, now: Nanos) -> MaybeEvent {
        let LeasedBatch { successes, settled_at, latencies, scores, .. } = batch;
        if successes > 0 {
            self.count_successes(successes);
        }
        for settled_at in settled_at {
            let at = self.see(*settled_at);
            self.note_load(at);
        }
        // Windows by time are in the slice in which all of this happened; the latest time that anybody came with may be in a
        // later one.
        let records = LeasedRecords { successes, latencies, scores };
        let since_origin = self.origin.distance(self.latest);
        self.tree.record_leased(&self.policy.leaves, records, since_origin);
        let now = self.see(now);
        self.evaluate(now)
    }
}
