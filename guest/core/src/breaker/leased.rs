//! Granting leases, and recording what happened under them.

use super::{Breaker, Phase, RecordError, Rejection, Standing};
use crate::condition::LeasedRecord;
use crate::event::Event;
use crate::lease::{self, AdmitTerms};
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
            Phase::Open { until } if now < **until => {
                Lease::Refuse { until: Some(**until), rejection: self.rejection(now) }
            }
            Phase::ForcedOpen => Lease::Refuse { until: None, rejection: self.rejection(now) },
            Phase::Open { .. } | Phase::HalfOpen(_) => Lease::Ask,
        }
    }

    /// Records what happened under a lease, in the order in which it happened, each with the time at which it did.
    /// `refused` calls were refused under it, and `now` is the latest time at which anything happened.
    ///
    /// The conditions are evaluated once, after the last of them: a host that keeps to its lease can't make one hold before.
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
        let standing = self.standing(permit, self.latest);
        if permit.probe() != 0 || standing == Standing::Unknown {
            return Err(RecordError::UnknownPermit);
        }
        self.count_rejections(refused);
        let mut settlement = LeasedSettlement::default();
        // A circuit that isn't half-open forgets no permit by time, so what is current for one entry is so for all.
        let current = standing == Standing::Current;
        let (mut records, mut successes) = (Vec::new(), 0u32);
        let missing = self.policy.missing();
        for (at, entry) in entries {
            let at = self.see(at);
            let (late, latency, score) = match entry {
                Entry::Late(score) => (true, 0, score.or(missing)),
                Entry::Success { latency, score, pending } => {
                    (false, latency, if pending { score } else { score.or(missing) })
                }
            };
            successes += u32::from(!late);
            settlement.stale += u32::from(!current);
            // A score that won't come, and counts as none, is nothing at all.
            if !late || score.is_some() {
                records.push(LeasedRecord { at, late, latency, score });
            }
        }
        self.successes = self.successes.saturating_add(successes.into());
        if !current {
            self.count_stale(successes.into());
        } else if !matches!(self.phase, Phase::Disabled) {
            settlement.events.extend(self.take_places(&records, successes));
        }
        self.see(now);
        Ok(settlement)
    }

    /// Records of a closed or metrics-only circuit take their places.
    fn take_places(&mut self, records: &[LeasedRecord], successes: u32) -> Option<Box<Event>> {
        let last = records.last()?;
        if successes > 0 {
            self.count_successes(successes);
        }
        if let Some(load) = &mut self.load {
            for record in records.iter().filter(|record| !record.late) {
                load.note(&self.policy.adaptive, record.at);
            }
        }
        self.tree.record_leased(&self.policy.leaves, records);
        self.evaluate(last.at)
    }
}
