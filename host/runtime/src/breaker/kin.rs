//! What breakers have in common, so that each of a million needn't have it: their home, their policy, their metrics.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ecow::EcoString;
use parking_lot::Mutex;

use super::FailureMode;
use crate::clock::RegistryClock;
use crate::component::{Slots, Who};
use crate::events::Hub;
use crate::metrics::{BreakerMeters, Metrics};
use crate::policy::Policy;
use crate::types::Time;

/// What the named breakers of a registry share, or those of a keyed family: instances of their own, all else of the
/// registry's.
pub(crate) struct Home {
    pub(crate) slots: Slots,
    pub(crate) clock: RegistryClock,
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) failure_mode: FailureMode,
    pub(crate) snapshot_every: u64,
    pub(crate) snapshot_interval: Duration,
    /// Calls after which a breaker is lent a buffer.
    pub(crate) lease_after: u32,
    /// Of the machine: threads that may meet.
    pub(crate) cores: usize,
    pub(crate) lendings: Lendings,
}

impl Home {
    /// A keyed family's home, which lends so many buffers at once.
    pub(crate) fn of_family(&self, slots: Slots, lent_max: usize) -> Self {
        Self {
            slots,
            clock: self.clock.clone(),
            hub: Arc::clone(&self.hub),
            metrics: Arc::clone(&self.metrics),
            lendings: Lendings::new(lent_max),
            ..*self
        }
    }
}

/// What the breakers of a keyed family share; a named breaker has one of its own.
pub(crate) struct Kin {
    pub(crate) home: Arc<Home>,
    pub(crate) who: Who,
    pub(crate) meters: Arc<BreakerMeters>,
}

impl Kin {
    pub(crate) fn policy(&self) -> &Policy {
        &self.who.policy
    }
}

/// Which breakers of a home have been lent a buffer: at most so many at once.
pub(crate) struct Lendings {
    max: usize,
    lent: AtomicUsize,
    /// Somebody was refused one.
    wanted: AtomicBool,
    /// Whom to ask for one, who was lent one first in front. Some may have gone.
    keys: Mutex<VecDeque<Lent>>,
}

/// A breaker that was lent a buffer, and the latest time that it had seen when it was last looked at.
pub(crate) struct Lent {
    pub(crate) key: EcoString,
    pub(crate) seen: Time,
}

impl Lendings {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, lent: AtomicUsize::new(0), wanted: AtomicBool::new(false), keys: Mutex::default() }
    }

    /// Lends a buffer, where there is one; otherwise it is known that one is wanted.
    pub(super) fn lend(&self, key: &EcoString) -> bool {
        let lent =
            self.lent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lent| (lent < self.max).then_some(lent + 1));
        if lent.is_err() {
            self.wanted.store(true, Ordering::Relaxed);
            return false;
        }
        self.ask_later(Lent { key: key.clone(), seen: Time::ZERO });
        true
    }

    /// A buffer is free again.
    pub(super) fn give_back(&self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether somebody was refused one since this was last asked.
    #[inline]
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Who may give a buffer back, the one that wasn't asked for longest.
    pub(crate) fn next_to_ask(&self) -> Option<Lent> {
        self.keys.lock().pop_front()
    }

    pub(crate) fn ask_later(&self, lent: Lent) {
        let mut keys = self.keys.lock();
        if keys.len() > self.max.saturating_mul(2) {
            // Of those who have gone there may be many. Who hasn't keeps its buffer until it retires.
            keys.pop_front();
        }
        keys.push_back(lent);
    }
}
