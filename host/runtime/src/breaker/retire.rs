//! How a breaker goes: retired to a snapshot by its family, or dropped.

use std::sync::Arc;

use super::leased::Asked;
use super::{Breaker, Rare, Shared};
use crate::condition::Held;
use crate::types::Time;

impl Drop for Shared {
    fn drop(&mut self) {
        self.meters.vanished(self.known_state());
        // What was kept is counted; its breaker is gone.
        let mut leasing = self.inner.get_mut().leasing().map(std::mem::take).unwrap_or_default();
        self.lose_leased(&mut leasing);
        if leasing.is_lent() {
            self.home.lendings.give_back();
        }
        let kin = Arc::clone(&self.kin);
        kin.home.slots.unseat(&mut self.inner.get_mut().cell, &kin.who);
    }
}

impl Shared {
    /// Takes a buffer back from a breaker that nobody else holds. It may be lent one again after as many calls as at first.
    pub(crate) fn take_back(&mut self) {
        if self.inner.get_mut().leasing().map(std::mem::take).is_some_and(|leasing| leasing.is_lent()) {
            self.inner.get_mut().forget_nothing();
            self.leased.take_back();
            self.home.lendings.give_back();
        }
    }
}

impl Breaker {
    /// Takes a snapshot to come back from: the bytes, when, and the trip count. `None` where the component fails.
    pub(crate) fn retire(&self) -> Option<(Arc<[u8]>, Time, u64)> {
        let mut inner = self.0.inner.lock();
        let now = self.0.leased.latest();
        let saved = self.0.operate_locked(&mut inner, Asked::Nothing, now, |seated| {
            seated.save()?;
            Ok(((), None))
        });
        // Delivered with the next events: the caller holds its family's lock, which a callback may want.
        if let Some(rare) = &mut inner.rare {
            self.0.home.hub.queue(&mut rare.outbox);
        }
        let (bytes, at) = saved.ok().and(inner.cell.saved())?;
        Some((bytes, at, self.0.trip_count()))
    }

    /// Whether anything was kept that the component doesn't know of.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.leased.is_waiting()
    }

    /// Hands the component what it doesn't know of yet, if there is anything.
    pub(crate) fn catch_up(&self) {
        if self.0.leased.is_waiting() {
            // A failure is told as an event.
            let _ = self.0.plain(self.0.leased.latest(), |_| Ok(()));
        }
    }

    /// Gives up its place. It must not be used any more.
    pub(crate) fn leave(&self) {
        self.0.home.slots.unseat(&mut self.0.inner.lock().cell, &self.0.kin.who);
    }

    /// Takes the host's own conditions out of a breaker that retires.
    pub(crate) fn take_conditions(&self) -> Held {
        let conditions = |rare: &mut Box<Rare>| std::mem::replace(&mut rare.conditions, Held::empty());
        self.0.inner.lock().rare.as_mut().map_or(Held::empty(), conditions)
    }

    /// Its family has come to this age: what was counted before says nothing of how busy it is.
    #[inline]
    pub(crate) fn grow_older(&self, age: u8) {
        self.0.leased.grow_older(age);
    }

    /// The latest time that it was called with.
    pub(crate) fn latest(&self) -> Time {
        self.0.leased.latest()
    }

    /// It comes back from a snapshot of this time, before which it can't be called.
    pub(crate) fn comes_from(&self, at: Time, trip_count: u64) {
        self.0.leased.see(at);
        self.0.set_trip_count(trip_count);
    }
}
