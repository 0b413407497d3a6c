//! The scores under a lease, in order of arrival.
//!
//! Scores have a bound at each of them, so that those who bring one must meet: in one counter, whose places are a ring of
//! slots. Each slot has the sum up to it, from which the next one's is made. So all slots before the last that was reserved are
//! filled, and the ring may go round: only the last scores matter.

use std::sync::OnceLock;

use crate::Detail;
use crate::counter::{Counter, Head};
use crate::sync::{AtomicI64, AtomicU64, Ordering, soon, wait_for};
use crate::terms::{Bound, Held};

/// Scores that are kept, the last of them: as many as a component may ask for.
pub(crate) const SLOTS: usize = if cfg!(loom) { 4 } else { 256 };

/// [`Slot::mark`]: where the lease's number begins; below is the place.
const EPOCH_SHIFT: u32 = 17;

/// The ring.
#[derive(Debug)]
pub(crate) struct Scores {
    pub(crate) counter: Counter,
    /// Made when a lease first asks for scores.
    slots: OnceLock<Box<[Slot; SLOTS]>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Written last: the lease's number, and the place.
    mark: AtomicU64,
    /// Of the lease's scores up to here; it may wrap, as long as no difference of two does that matters.
    sum: AtomicI64,
    score: AtomicI64,
    /// How many late scores are among those up to here; this one too, if it is odd in the lowest bit.
    lates: AtomicU64,
    settled_at: AtomicU64,
    latency: AtomicU64,
    sequence: AtomicU64,
}

/// A place that was found benign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'s> {
    seen: Head,
    slot: &'s Slot,
    sum: i64,
    lates: u64,
}

fn mark(epoch: u64, place: u32) -> u64 {
    epoch << EPOCH_SHIFT | u64::from(place)
}

impl Scores {
    pub(crate) fn new() -> Self {
        Self { counter: Counter::new(), slots: OnceLock::new() }
    }

    /// Makes the slots.
    pub(crate) fn make_slots(&self) {
        self.slots.get_or_init(|| Box::new(std::array::from_fn(|_| Slot::default())));
    }

    /// The slot of a place.
    fn slot(&self, place: u32) -> Option<&Slot> {
        Some(&self.slots.get()?[place as usize % SLOTS])
    }

    /// The next place, if the score is benign there.
    #[inline]
    pub(crate) fn place(&self, seen: Head, score: i64, terms: &Held) -> Option<Place<'_>> {
        let count = seen.count();
        let slots: &[Slot; SLOTS] = self.slots.get()?;
        let slot = |place: u32| &slots[place as usize % SLOTS];
        let (sum, lates) = match count.checked_sub(1) {
            None => (0, 0),
            Some(last) => {
                let slot = slot(last);
                let filled = mark(seen.epoch(), last);
                // A later mark: others have gone on, and `reserve` will find that out. None at all: that thread was interrupted,
                // and nobody waits for it but who takes the lease.
                if !soon(|| slot.mark.load(Ordering::Acquire) >= filled) {
                    return None;
                }
                (slot.sum.load(Ordering::Relaxed), slot.lates.load(Ordering::Relaxed) >> 1)
            }
        };
        let sum = sum.wrapping_add(score);
        let kept = match terms.bound(count) {
            Bound::None => true,
            Bound::Sum { least } => sum >= least,
            // The last so many, of which this is one.
            Bound::LastSum { scores, least } => {
                let before = slot(count.checked_sub(scores)?).sum.load(Ordering::Relaxed);
                sum.wrapping_sub(before) >= least
            }
            Bound::NoMore => false,
        };
        kept.then_some(Place { seen, slot: slot(count), sum, lates })
    }

    /// Puts a score in, where nothing has changed since its place was found. `detail`: where it is asked for.
    #[inline]
    pub(crate) fn put(&self, place: Place<'_>, score: i64, late: bool, detail: Option<Detail>) -> bool {
        let Place { seen, slot, sum, lates } = place;
        if !self.counter.reserve(seen) {
            return false;
        }
        let late = u64::from(late);
        slot.sum.store(sum, Ordering::Relaxed);
        slot.score.store(score, Ordering::Relaxed);
        slot.lates.store((lates + late) << 1 | late, Ordering::Relaxed);
        if let Some(detail) = detail {
            slot.settled_at.store(detail.settled_at, Ordering::Relaxed);
            slot.latency.store(detail.latency, Ordering::Relaxed);
            slot.sequence.store(detail.sequence, Ordering::Relaxed);
        }
        slot.mark.store(mark(seen.epoch(), seen.count()), Ordering::Release);
        true
    }

    /// Reads the last `last` scores until it was closed, and the details of all, where they are wanted. How many of all were
    /// late.
    pub(crate) fn read(
        &self,
        closed: Head,
        last: u32,
        scores: &mut Vec<i64>,
        mut details: Option<&mut Vec<Detail>>,
    ) -> u32 {
        let count = closed.count();
        let Some(newest) = count.checked_sub(1).and_then(|newest| self.slot(newest)) else {
            return 0;
        };
        wait_for(|| newest.mark.load(Ordering::Acquire) == mark(closed.epoch(), count - 1));
        let first = if details.is_some() { 0 } else { count.saturating_sub(last) };
        for place in first.max(count.saturating_sub(SLOTS as u32))..count {
            let Some(slot) = self.slot(place) else { break };
            if count - place <= last {
                scores.push(slot.score.load(Ordering::Relaxed));
            }
            if let Some(details) = details.as_mut()
                && slot.lates.load(Ordering::Relaxed) & 1 == 0
            {
                details.push(Detail {
                    settled_at: slot.settled_at.load(Ordering::Relaxed),
                    latency: slot.latency.load(Ordering::Relaxed),
                    sequence: slot.sequence.load(Ordering::Relaxed),
                });
            }
        }
        // No more than there are scores.
        (newest.lates.load(Ordering::Relaxed) >> 1) as u32
    }
}
