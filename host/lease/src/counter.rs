//! One word that counts what was reserved under a lease, and says whether the lease is over.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The most that one counter counts under a lease.
pub(crate) const COUNT_MAX: u32 = CLOSED as u32 - 1;
/// Nothing may be reserved any more.
const CLOSED: u64 = 1 << 16;
/// Where the lease's number begins. With 47 bits none comes twice.
const EPOCH_SHIFT: u32 = 17;
/// How many places are drawn from the pool at a time, at most.
const DRAW_MAX: u32 = 256;

/// The lease's number, whether it is over, and how many places were reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head(u64);

impl Head {
    /// The lease's number.
    #[inline]
    pub(crate) fn epoch(self) -> u64 {
        self.0 >> EPOCH_SHIFT
    }

    /// How many places were reserved.
    #[inline]
    pub(crate) fn count(self) -> u32 {
        // Below 2^16.
        (self.0 & (CLOSED - 1)) as u32
    }
}

/// Counts places. Whoever reserves one by [`reserve`](Self::reserve) knows that nothing of the lease has changed since it
/// looked at it by [`look`](Self::look): terms that it read in between held still.
#[derive(Debug)]
pub(crate) struct Counter {
    head: AtomicU64,
    /// The lease's number, and how many places the pool has allowed for.
    limit: AtomicU64,
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self { head: AtomicU64::new(CLOSED), limit: AtomicU64::new(0) }
    }

    /// Where it stands; none where the lease is over.
    #[inline]
    pub(crate) fn look(&self) -> Option<Head> {
        // Acquires the terms, which were written before it was opened.
        let head = self.head.load(Ordering::Acquire);
        (head & CLOSED == 0).then_some(Head(head))
    }

    /// Where it stands, if the next place was allowed for already.
    #[inline(always)]
    pub(crate) fn look_for_room(&self) -> Option<Head> {
        let head = self.head.load(Ordering::Acquire);
        // Compared as a whole: under the same lease the limit is above those counts that were allowed for, and that of an earlier
        // one is below. Where it is of a later one, this head is no longer the one that stands, unless it was closed and the later
        // lease is just being opened.
        (head & CLOSED == 0 && head < self.limit.load(Ordering::Relaxed)).then_some(Head(head))
    }

    /// Reserves the next place, where nothing has changed since `seen`.
    #[inline]
    pub(crate) fn reserve(&self, seen: Head) -> bool {
        self.head.compare_exchange(seen.0, seen.0 + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether there is a next place: what was allowed for, or what can be drawn from the pool. The pool is shared among
    /// so many counters.
    #[inline]
    pub(crate) fn has_room(&self, seen: Head, pool: &AtomicU32, counters: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        seen.count() < COUNT_MAX && (u64::from(seen.count()) < limit_of(limit, seen) || self.draw(seen, pool, counters))
    }

    #[cold]
    fn draw(&self, seen: Head, pool: &AtomicU32, counters: usize) -> bool {
        let share = |left: u32| (left / (2 * counters as u32)).clamp(1, DRAW_MAX);
        loop {
            let limit = self.limit.load(Ordering::Relaxed);
            if u64::from(seen.count()) < limit_of(limit, seen) {
                return true;
            }
            if limit >> EPOCH_SHIFT != seen.epoch() {
                return false;
            }
            let drawn = pool.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(share(left)));
            let Ok(before) = drawn else { return false };
            // Only under this lease: what was drawn from the pool of another is lost, which harms nobody.
            let raised = limit + u64::from(share(before));
            let _ = self.limit.compare_exchange(limit, raised, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Opens it for the lease of this number.
    pub(crate) fn open(&self, epoch: u64) {
        self.limit.store(epoch << EPOCH_SHIFT, Ordering::Relaxed);
        self.head.store(epoch << EPOCH_SHIFT, Ordering::Release);
    }

    /// Closes it: where it stood, if it was open.
    pub(crate) fn close(&self) -> Option<Head> {
        let head = self.head.fetch_or(CLOSED, Ordering::AcqRel);
        (head & CLOSED == 0).then_some(Head(head))
    }

    /// Whether anything was reserved under a lease that isn't over.
    pub(crate) fn is_waiting(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        head & CLOSED == 0 && Head(head).count() > 0
    }
}

/// How many places are allowed for under the lease that was seen.
#[inline]
fn limit_of(limit: u64, seen: Head) -> u64 {
    if limit >> EPOCH_SHIFT == seen.epoch() { limit & ((1 << EPOCH_SHIFT) - 1) } else { 0 }
}
