//! Granting leases, and recording what happened under them.

use super::{Breaker, Phase, RecordError, Rejection, Standing};
use crate::condition::Record;
use crate::event::Event;
use crate::lease::{self, AdmitTerms};
use crate::outcome::{Class, OutcomeKind};
use crate::permit::Permit;
use crate::score::Score;
use crate::time::{Instant, Nanos};
use alloc::{boxed::Box, vec::Vec};

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

/// One thing that happened under a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A success.
    Success {
        /// How long it took.
        latency: Nanos,
        /// Its score.
        score: Option<Score>,
        /// Whether its score is owed, where it has none.
        pending: bool,
    },
    /// A late score; none where none will come.
    Late(Option<Score>),
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeasedSettlement {
    /// Entries that came too late to count.
    pub stale: u32,
    /// Changes of state; none, where the host kept to its lease.
    pub events: Vec<Box<Event>>,
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
                let terms = lease::terms(&self.policy, &self.tree, failures, now);
                let terms = terms.unwrap_or_else(|| AdmitTerms::admit_only(self.policy.missing()));
                Lease::Admit { permit, terms }
            }
            Phase::Disabled => Lease::Admit { permit, terms: AdmitTerms::free(self.policy.missing()) },
            Phase::Open { until } if now < *until => {
                Lease::Refuse { until: Some(*until), rejection: self.rejection(now) }
            }
            Phase::ForcedOpen => Lease::Refuse { until: None, rejection: self.rejection(now) },
            Phase::Open { .. } | Phase::HalfOpen(_) => Lease::Ask,
        }
    }

    /// Records what happened under a lease, in the order in which it happened, each with the time at which it did.
    /// `refused` calls were refused under it, and `now` is the latest time at which anything happened.
    ///
    /// # Errors
    /// For a permit that was never given out; nothing has changed then.
    pub fn record_leased(
        &mut self,
        permit: Permit,
        entries: impl IntoIterator<Item = (Nanos, Entry)>,
        refused: u64,
        now: Nanos,
    ) -> Result<LeasedSettlement, RecordError> {
        if permit.probe() != 0 || self.standing(permit, self.latest) == Standing::Unknown {
            return Err(RecordError::UnknownPermit);
        }
        self.totals.rejections = self.totals.rejections.saturating_add(refused);
        let mut settlement = LeasedSettlement::default();
        for (at, entry) in entries {
            let at = self.see(at);
            let current = self.standing(permit, at) == Standing::Current;
            if let Entry::Success { .. } = entry {
                self.count(Class::Success, !current);
            }
            if !current {
                settlement.stale = settlement.stale.saturating_add(1);
                continue;
            }
            let settled = match entry {
                Entry::Late(score) => self.record_late(score.or(self.policy.missing()), at),
                Entry::Success { latency, score, pending } => {
                    let score = if pending { score } else { score.or(self.policy.missing()) };
                    let record = Record { failed: false, latency, score, verdicts: &[] };
                    self.record_current(&record, OutcomeKind::Success, at)
                }
            };
            settlement.events.extend(settled.event);
        }
        self.see(now);
        Ok(settlement)
    }
}
