//! A thread's part of a lease: a counter of successes, with their details where the component asks for some.

use std::sync::OnceLock;

use crate::Detail;
use crate::counter::{Counter, Head};
use crate::sync::{AtomicU64, Ordering, wait_for};

/// Successes with details that one stripe keeps at most.
pub(crate) const SLOTS: usize = if cfg!(loom) { 2 } else { 64 };

/// A stripe.
#[derive(Debug)]
pub(crate) struct Stripe {
    pub(crate) counter: Counter,
    /// The latest time that a thread of this stripe has come with.
    latest: AtomicU64,
    refused: AtomicU64,
    /// How many details it has ever kept, here or among the scores.
    kept: AtomicU64,
    /// Made when a lease first asks for details.
    slots: OnceLock<Box<[Slot]>>,
}

#[derive(Debug)]
struct Slot {
    /// Written last: the lease's number.
    mark: AtomicU64,
    settled_at: AtomicU64,
    latency: AtomicU64,
    sequence: AtomicU64,
}

impl Stripe {
    pub(crate) fn new() -> Self {
        Self {
            counter: Counter::new(),
            latest: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            slots: OnceLock::new(),
        }
    }

    /// The time that counts: this one, or the latest that was seen here.
    #[inline]
    pub(crate) fn latest_with(&self, now: u64) -> u64 {
        now.max(self.latest.load(Ordering::Relaxed))
    }

    /// Sees a time, which is the latest.
    #[inline]
    pub(crate) fn note(&self, latest: u64) {
        // Threads that share a stripe may overwrite each other's: they race, and either's order is one.
        self.latest.store(latest, Ordering::Relaxed);
    }

    pub(crate) fn latest(&self) -> u64 {
        self.latest.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.counter.is_waiting() || self.refused.load(Ordering::Relaxed) > 0
    }

    /// The place of the next that this stripe's threads keep.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.kept.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether there is a slot for the next success.
    #[inline]
    pub(crate) fn has_slot(&self, seen: Head) -> bool {
        seen.count() < SLOTS as u32
    }

    /// Puts a success's details into the slot that was reserved.
    #[inline]
    pub(crate) fn fill(&self, reserved: Head, detail: Detail) {
        let slot = self.slots.get().and_then(|slots| slots.get(reserved.count() as usize));
        // There are slots before a lease that asks for details is opened.
        if let Some(slot) = slot {
            slot.settled_at.store(detail.settled_at, Ordering::Relaxed);
            slot.latency.store(detail.latency, Ordering::Relaxed);
            slot.sequence.store(detail.sequence, Ordering::Relaxed);
            slot.mark.store(reserved.epoch(), Ordering::Release);
        }
    }

    /// Makes the slots.
    pub(crate) fn make_slots(&self) {
        let slot = |_| Slot {
            mark: AtomicU64::new(0),
            settled_at: AtomicU64::new(0),
            latency: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
        };
        self.slots.get_or_init(|| (0..SLOTS).map(slot).collect());
    }

    /// Shows what was put into slots until it was closed, waiting for those who are at it.
    pub(crate) fn read(&self, closed: Head, details: &mut Vec<Detail>) {
        let slots = self.slots.get().map_or(&[][..], |slots| slots);
        for slot in slots.iter().take(closed.count() as usize) {
            wait_for(|| slot.mark.load(Ordering::Acquire) == closed.epoch());
            details.push(Detail {
                settled_at: slot.settled_at.load(Ordering::Relaxed),
                latency: slot.latency.load(Ordering::Relaxed),
                sequence: slot.sequence.load(Ordering::Relaxed),
            });
        }
    }
}
