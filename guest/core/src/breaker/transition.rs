//! How a circuit gets from one state to another. Every transition begins a new generation.

use super::{Breaker, Phase, TRANSITIONS_MAX, Transition};
use crate::event::{Event, EventReason, TripReason, bounded};
use crate::time::{Instant, Nanos};
use alloc::{boxed::Box, sync::Arc};

impl Breaker {
    /// Opens, for as long as the policy says, or for `open_for`.
    pub(super) fn open(&mut self, reason: TripReason, open_for: Option<Nanos>, now: Instant) -> Box<Event> {
        let again = matches!(self.phase, Phase::HalfOpen(_));
        let rare = self.rare_mut();
        rare.reopen_count = rare.reopen_count.saturating_add(u32::from(again));
        rare.trip_count = rare.trip_count.saturating_add(1);
        rare.last_trip = Some((now, Arc::new(reason.clone())));
        let period = now.plus(open_for.unwrap_or_else(|| self.open_period(now)));
        // What the service asked for on the way here extends the period, never shortens it.
        let until = self.hint_until().map_or(period, |hint| hint.max(period));
        self.enter(Phase::Open { until: Box::new(until) }, EventReason::Tripped(reason), now)
    }

    /// The period that a circuit which opens now stays open. It is fixed then, so that `retry_after` never changes.
    pub(super) fn open_period(&self, now: Instant) -> Nanos {
        let by_load = self.tier(now).and_then(|tier| tier.half_open_after);
        let base = by_load.unwrap_or(self.policy.half_open_after);
        self.policy.backoff.period(base, self.reopen_count(), self.jitter_seed() ^ self.trip_count())
    }

    /// Empties every window.
    pub(super) fn refresh_windows(&mut self) {
        self.tree.refresh();
        self.origin.forget();
    }

    pub(super) fn half_open(&mut self, now: Instant) -> Box<Event> {
        self.refresh_windows();
        self.enter(Phase::HalfOpen(Box::default()), EventReason::OpenPeriodOver, now)
    }

    pub(super) fn close(&mut self, reason: EventReason, now: Instant) -> Box<Event> {
        self.refresh_windows();
        if let Some(rare) = &mut self.rare {
            rare.reopen_count = 0;
        }
        self.enter(Phase::Closed, reason, now)
    }

    pub(super) fn enter(&mut self, phase: Phase, reason: EventReason, now: Instant) -> Box<Event> {
        let old = self.state();
        self.phase = phase;
        self.since = now;
        // 2^32 transitions, one a second, take 136 years.
        self.generation = self.generation.wrapping_add(1);
        let event = self.event(now, old, reason);
        let text = bounded(alloc::format!("{}", event.reason));
        let transition = Transition { at: now, old, new: event.new, text };
        let rare = self.rare_mut();
        rare.hint_until = None;
        if rare.transitions.len() == TRANSITIONS_MAX {
            rare.transitions.pop_front();
        }
        rare.transitions.push_back(transition);
        event
    }
}
