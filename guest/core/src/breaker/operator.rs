//! What a host does on purpose: reset, an operator's states, a trip with a reason of its own.

use super::{Breaker, Phase};
use crate::event::{Event, EventReason, MaybeEvent, OperatorState, State, TripReason, bounded};
use crate::time::Nanos;
use alloc::{boxed::Box, string::String};

impl Breaker {
    /// Closes the circuit: trip count 0, windows and streaks fresh, a new generation. It ends the operator's states too.
    /// Totals stay.
    pub fn reset(&mut self, now: Nanos) -> Box<Event> {
        let now = self.see(now);
        (self.failing, self.streak) = (false, 0);
        if let Some(rare) = &mut self.rare {
            rare.trip_count = 0;
            rare.last_trip = None;
        }
        self.close(EventReason::Reset, now)
    }

    /// Puts the circuit into an operator's state, with fresh windows, until [`reset`](Self::reset). None where it is in
    /// that state already.
    pub fn set_operator_state(&mut self, state: OperatorState, now: Nanos) -> MaybeEvent {
        let (phase, state) = match state {
            OperatorState::ForcedOpen => (Phase::ForcedOpen, State::ForcedOpen),
            OperatorState::Disabled => (Phase::Disabled, State::Disabled),
            OperatorState::MetricsOnly => (Phase::MetricsOnly, State::MetricsOnly),
        };
        if self.state() == state {
            return None;
        }
        let now = self.see(now);
        self.refresh_windows();
        Some(self.enter(phase, EventReason::Operator, now))
    }

    /// Opens the circuit for a reason of the host's own, for `open_for`, or as long as the policy says. An open
    /// circuit's period is extended to it, never shortened, without an event. An operator's states stay.
    pub fn trip(&mut self, reason: String, open_for: Option<Nanos>, now: Nanos) -> MaybeEvent {
        let now = self.see(now);
        let period = open_for.unwrap_or_else(|| self.open_period(now));
        match &mut self.phase {
            Phase::Open { until } => {
                **until = now.plus(period).max(**until);
                None
            }
            Phase::ForcedOpen | Phase::Disabled => None,
            Phase::Closed | Phase::HalfOpen(_) | Phase::MetricsOnly => {
                Some(self.trip_or_say(TripReason::Host(bounded(reason)), open_for, now))
            }
        }
    }
}
