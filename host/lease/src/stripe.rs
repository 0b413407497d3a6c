//! A thread's part of a lease: a ring of slots, reserved by counting up one word.

use crate::Entry;
use crate::batch::Marks;
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering, wait};

/// [`Stripe::head`]: slots that were reserved. Threads that race for a full stripe count on, each once.
const RESERVED: u64 = CLOSED - 1;
/// [`Stripe::head`]: nothing may be kept.
const CLOSED: u64 = 1 << 16;
/// [`Stripe::head`] and [`Slot::mark`]: where the lease's number begins. With 47 bits none comes twice.
const EPOCH_SHIFT: u32 = 17;

/// [`Slot::mark`]: the slot was reserved, and what was to be kept wasn't benign.
const EMPTY: u64 = 1 << 16;
/// [`Slot::mark`]: where the place in the order begins; below are the marks.
const TICKET_SHIFT: u32 = 4;
const TICKET_MASK: u64 = (1 << 12) - 1;
const MARKS_MASK: u64 = (1 << TICKET_SHIFT) - 1;

/// A stripe.
#[derive(Debug)]
pub(crate) struct Stripe {
    /// The lease's number, whether it is over, and how many slots were reserved.
    head: AtomicU64,
    /// How many slots the pool has allowed for.
    limit: AtomicU32,
    /// The latest time that a thread of this stripe has come with.
    latest: AtomicU64,
    refused: AtomicU64,
    slots: Box<[Slot]>,
}

#[derive(Debug)]
struct Slot {
    /// Written last: the lease's number, the place in the order, and the marks.
    mark: AtomicU64,
    at: AtomicU64,
    latency: AtomicU64,
    score: AtomicI64,
}

/// A slot that was reserved: until it is filled or left empty, whoever takes the lease waits.
pub(crate) struct Pinned<'a> {
    slot: &'a Slot,
    index: u32,
    epoch: u64,
}

/// What a slot held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) ticket: u32,
    pub(crate) marks: Marks,
    pub(crate) at: u64,
    pub(crate) latency: u64,
    pub(crate) score: i64,
}

impl Stripe {
    pub(crate) fn new(slots: usize) -> Self {
        let slot = |_| Slot {
            mark: AtomicU64::new(0),
            at: AtomicU64::new(0),
            latency: AtomicU64::new(0),
            score: AtomicI64::new(0),
        };
        Self {
            head: AtomicU64::new(CLOSED),
            limit: AtomicU32::new(0),
            latest: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            slots: (0..slots).map(slot).collect(),
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

    /// Reserves a slot, where the lease is open and one is left.
    #[inline]
    pub(crate) fn pin(&self) -> Option<Pinned<'_>> {
        // Looked at first, so that one that is over or full isn't counted up.
        let head = self.head.load(Ordering::Relaxed);
        if head & CLOSED != 0 || head & RESERVED >= self.slots.len() as u64 {
            return None;
        }
        // Acquires the terms, which were written before the lease was opened.
        let head = self.head.fetch_add(1, Ordering::AcqRel);
        if head & CLOSED != 0 {
            return None;
        }
        let index = head & RESERVED;
        // Beyond the last slot nothing is to be waited for.
        let slot = self.slots.get(index as usize)?;
        // There are few slots.
        Some(Pinned { slot, index: index as u32, epoch: head >> EPOCH_SHIFT })
    }

    #[inline]
    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn raise_limit(&self, by: u32) {
        self.limit.fetch_add(by, Ordering::Relaxed);
    }

    /// Opens it for the lease of this number.
    pub(crate) fn open(&self, epoch: u64) {
        self.limit.store(0, Ordering::Relaxed);
        self.head.store(epoch << EPOCH_SHIFT, Ordering::Release);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        head & CLOSED == 0 && head & RESERVED > 0 || self.refused.load(Ordering::Relaxed) > 0
    }

    /// Closes it, and shows what was kept, in the order in which it was reserved.
    pub(crate) fn close(&self, mut show: impl FnMut(Kept)) {
        let head = self.head.fetch_or(CLOSED, Ordering::AcqRel);
        if head & CLOSED != 0 {
            return;
        }
        let (epoch, reserved) = (head >> EPOCH_SHIFT, (head & RESERVED) as usize);
        for slot in self.slots.iter().take(reserved) {
            if let Some(kept) = slot.take(epoch) {
                show(kept);
            }
        }
    }
}

impl Slot {
    /// Waits until the slot is filled, and reads it.
    fn take(&self, epoch: u64) -> Option<Kept> {
        let mut times = 0;
        let mark = loop {
            let mark = self.mark.load(Ordering::Acquire);
            if mark >> EPOCH_SHIFT == epoch {
                break mark;
            }
            wait(times);
            times = times.saturating_add(1);
        };
        (mark & EMPTY == 0).then(|| Kept {
            // 12 bits, and 4.
            ticket: (mark >> TICKET_SHIFT & TICKET_MASK) as u32,
            marks: Marks::from_bits((mark & MARKS_MASK) as u8),
            at: self.at.load(Ordering::Relaxed),
            latency: self.latency.load(Ordering::Relaxed),
            score: self.score.load(Ordering::Relaxed),
        })
    }
}

impl Pinned<'_> {
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Puts an outcome in.
    #[inline]
    pub(crate) fn fill(self, ticket: u32, at: u64, entry: Entry) {
        let (marks, latency, score) = Marks::of(entry);
        self.slot.at.store(at, Ordering::Relaxed);
        self.slot.latency.store(latency, Ordering::Relaxed);
        self.slot.score.store(score, Ordering::Relaxed);
        let mark = self.epoch << EPOCH_SHIFT | u64::from(ticket) << TICKET_SHIFT | u64::from(marks.bits());
        self.slot.mark.store(mark, Ordering::Release);
    }

    /// What it was reserved for wasn't benign.
    pub(crate) fn leave_empty(self) {
        self.slot.mark.store(self.epoch << EPOCH_SHIFT | EMPTY, Ordering::Release);
    }
}
