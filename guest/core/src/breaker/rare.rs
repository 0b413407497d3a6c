//! What most breakers never need, kept apart so that an idle one is small: there may be a million of them.

use super::{Breaker, Totals, Transition};
use crate::event::TripReason;
use crate::load::Load;
use crate::time::Instant;
use alloc::{boxed::Box, collections::VecDeque, sync::Arc};

/// What only a breaker needs that has changed its state, has refused calls, or was told when to come back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rare {
    /// Kept where the policy has jitter.
    pub(super) jitter_seed: u64,
    /// The end of the latest `Retry-After` of this generation.
    pub(super) hint_until: Option<Instant>,
    pub(super) trip_count: u64,
    pub(super) reopen_count: u32,
    pub(super) neutral: u64,
    pub(super) rejections: u64,
    pub(super) stale: u64,
    pub(super) last_trip: Option<(Instant, Arc<TripReason>)>,
    pub(super) transitions: VecDeque<Transition>,
    /// Where the policy has tiers.
    pub(super) load: Option<Load>,
}

impl Rare {
    /// None, where there is nothing to keep.
    pub(super) fn kept(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Breaker {
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn load(&self) -> Option<&Load> {
        self.rare.as_ref()?.load.as_ref()
    }

    /// Counts a settled call, where the policy asks how many there are.
    pub(super) fn note_load(&mut self, now: Instant) {
        if let Some(load) = self.rare.as_mut().and_then(|rare| rare.load.as_mut()) {
            load.note(&self.policy.adaptive, now);
        }
    }

    pub(super) fn trip_count(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.trip_count)
    }

    pub(super) fn reopen_count(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.reopen_count)
    }

    pub(super) fn jitter_seed(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.jitter_seed)
    }

    pub(super) fn hint_until(&self) -> Option<Instant> {
        self.rare.as_ref().and_then(|rare| rare.hint_until)
    }

    pub(super) fn last_trip(&self) -> Option<&(Instant, Arc<TripReason>)> {
        self.rare.as_ref().and_then(|rare| rare.last_trip.as_ref())
    }

    pub(super) fn totals(&self) -> Totals {
        let (successes, failures) = (self.successes, self.failures);
        let (neutral, rejections, stale) =
            self.rare.as_ref().map_or((0, 0, 0), |rare| (rare.neutral, rare.rejections, rare.stale));
        Totals { successes, failures, neutral, rejections, stale }
    }

    /// Counts refused calls.
    pub(super) fn count_rejections(&mut self, calls: u64) {
        if calls > 0 {
            let rejections = &mut self.rare_mut().rejections;
            *rejections = rejections.saturating_add(calls);
        }
    }

    /// Counts calls that were settled too late.
    pub(super) fn count_stale(&mut self, calls: u64) {
        if calls > 0 {
            let stale = &mut self.rare_mut().stale;
            *stale = stale.saturating_add(calls);
        }
    }
}
