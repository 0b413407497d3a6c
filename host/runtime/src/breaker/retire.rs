//! How a breaker goes: retired to a snapshot by its family, or dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::leased::Asked;
use super::{Breaker, Shared};
use crate::condition::Held;
use crate::types::Time;

impl Drop for Shared {
    fn drop(&mut self) {
        self.meters.vanished(self.known_state());
        // What was kept is counted; its breaker is gone.
        let mut leasing = std::mem::take(&mut self.inner.get_mut().leasing);
        self.lose_leased(&mut leasing);
        let cell = &mut self.inner.get_mut().cell;
        self.home.slots.unseat(cell);
    }
}

impl Breaker {
    /// Takes a snapshot to come back from: the bytes, when, and the trip count. `None` where the component fails.
    pub(crate) fn retire(&self) -> Option<(Arc<[u8]>, Time, u64)> {
        let mut inner = self.0.inner.lock();
        let now = self.0.leased.seen(inner.cell.last_now());
        let saved = self.0.operate_locked(&mut inner, Asked::Nothing, now, |seated| {
            seated.save()?;
            Ok(((), None))
        });
        // Delivered with the next events: the caller holds its family's lock, which a callback may want.
        self.0.home.hub.queue(&mut inner.outbox);
        let (bytes, at) = saved.ok().and(inner.cell.saved())?;
        Some((bytes, at, self.0.trip_count.load(Ordering::Relaxed)))
    }

    /// Hands the component what it doesn't know of yet, if there is anything.
    pub(crate) fn catch_up(&self) {
        if self.0.leased.is_waiting() {
            let now = self.0.inner.lock().cell.last_now();
            // A failure is told as an event.
            let _ = self.0.plain(self.0.leased.seen(now), |_| Ok(()));
        }
    }

    /// Gives up its place. It must not be used any more.
    pub(crate) fn leave(&self) {
        self.0.home.slots.unseat(&mut self.0.inner.lock().cell);
    }

    /// Takes the host's own conditions out of a breaker that retires.
    pub(crate) fn take_conditions(&self) -> Held {
        std::mem::replace(&mut self.0.inner.lock().conditions, Held::empty())
    }
}
