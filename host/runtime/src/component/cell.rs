//! A breaker's place in the component, as its host keeps it: where it sits, and the snapshot that it would come back from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::policy::Policy;
use crate::types::Time;

/// A breaker's place in the slot, kept by the breaker under its own lock.
pub(crate) struct Cell {
    /// Tells it from all others of the process.
    pub(crate) uid: u64,
    /// Which of its home's instances it sits in.
    pub(super) slot: usize,
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) salt: u64,
    pub(super) seat: Option<Seat>,
    pub(super) saved: Option<Saved>,
    /// Records since `saved`: what a failure would lose.
    pub(crate) unsaved: u64,
    /// The latest time that it was called with.
    pub(super) last_now: Arc<AtomicI64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) incarnation: u64,
    pub(super) id: u32,
}

#[derive(Clone)]
pub(super) struct Saved {
    pub(super) bytes: Arc<[u8]>,
    pub(super) at: Time,
}

impl Cell {
    pub(super) fn new(slot: usize, name: Arc<str>, policy: Policy, salt: u64) -> Self {
        static UIDS: AtomicU64 = AtomicU64::new(1);
        let uid = UIDS.fetch_add(1, Ordering::Relaxed);
        let last_now = Arc::new(AtomicI64::new(0));
        Self { uid, slot, name, policy, salt, seat: None, saved: None, unsaved: 0, last_now }
    }

    /// Makes it come back from a snapshot that was taken at `at`, on its own clock.
    pub(crate) fn set_saved(&mut self, bytes: Arc<[u8]>, at: Time) {
        self.saved = Some(Saved { bytes, at });
    }

    /// The last snapshot and when it was taken.
    pub(crate) fn saved(&self) -> Option<(Arc<[u8]>, Time)> {
        self.saved.as_ref().map(|saved| (Arc::clone(&saved.bytes), saved.at))
    }

    /// The incarnation that it sits in.
    pub(crate) fn incarnation(&self) -> u64 {
        self.seat.map_or(0, |seat| seat.incarnation)
    }

    pub(crate) fn last_now(&self) -> Time {
        Time::from_nanos(self.last_now.load(Ordering::Relaxed))
    }
}
