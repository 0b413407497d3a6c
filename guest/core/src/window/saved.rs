//! A leaf's state in a snapshot: its samples alone. Counts and sums are computed anew.

use super::{BitRing, Extent, Samples, Slice, SliceRing, ValueRing};
use crate::condition::{Condition, LeafState};
use crate::event::bounded;
use crate::score::{Score, UNITS_MAX};
use crate::time::Nanos;
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize, Serializer};

/// The samples of a leaf, oldest first. What differs between writing and reading is a parameter.
#[derive(Serialize, Deserialize)]
pub(crate) enum SavedLeaf<B, V, S, T> {
    /// Hits, eight a byte.
    Bits {
        count: u32,
        hits: B,
    },
    Values(V),
    Slices {
        index: u64,
        /// The slices that aren't empty, by place.
        slices: S,
    },
    Streak(u32),
    Verdict(Option<T>),
}

/// A leaf's samples, as they are read.
pub(crate) type ReadLeaf<'a> = SavedLeaf<&'a [u8], ValueRing, Vec<(u32, Slice)>, String>;

/// What an iterator gives, as a sequence: nothing is collected for it.
pub(crate) struct Seq<I>(pub(crate) I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Seq<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// The slices that aren't empty, by place.
struct Filled<'a>(&'a [Slice]);

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        // At most SLICES_MAX.
        let filled = || self.0.iter().enumerate().filter(|(_, slice)| **slice != Slice::EMPTY);
        let mut sequence = serializer.serialize_seq(Some(filled().count()))?;
        for (place, slice) in filled() {
            sequence.serialize_element(&(place as u32, slice))?;
        }
        sequence.end()
    }
}

/// A leaf whose samples are written.
#[derive(Clone, Copy)]
pub(crate) struct WrittenLeaf<'a> {
    pub(crate) condition: &'a Condition,
    pub(crate) state: &'a LeafState,
}

impl Serialize for WrittenLeaf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.state {
            LeafState::Streak(streak) => SavedLeaf::<(), (), (), ()>::Streak(*streak).serialize(serializer),
            LeafState::Verdict(verdict) => {
                SavedLeaf::<(), (), (), _>::Verdict(verdict.as_deref()).serialize(serializer)
            }
            LeafState::Window(Samples::Values(ring)) => {
                SavedLeaf::<(), _, (), ()>::Values(Seq(ring.iter())).serialize(serializer)
            }
            LeafState::Window(Samples::Slices(ring)) => {
                let slices = Filled(ring.slices());
                SavedLeaf::<(), (), _, ()>::Slices { index: ring.index(), slices }.serialize(serializer)
            }
            LeafState::Window(Samples::Bits(ring)) => {
                let capacity = match self.condition.window().map(|window| window.extent) {
                    Some(Extent::Count(capacity)) => capacity,
                    _ => 0,
                };
                let hits = Seq(ring.bytes(capacity));
                SavedLeaf::<_, (), (), ()>::Bits { count: ring.count(), hits }.serialize(serializer)
            }
        }
    }
}

impl ReadLeaf<'_> {
    /// The state again; on damage, what was expected. `lived` is the time since the windows' first record.
    pub(crate) fn restore(self, condition: &Condition, lived: Option<Nanos>) -> Result<LeafState, &'static str> {
        let mut fresh = LeafState::new(condition);
        match (self, &mut fresh, condition.window().map(|window| window.extent)) {
            (Self::Streak(streak), LeafState::Streak(place), _) => *place = streak,
            (Self::Verdict(reason), LeafState::Verdict(place), _) => {
                *place = reason.map(|reason| bounded(reason).into())
            }
            (Self::Values(values), LeafState::Window(Samples::Values(ring)), Some(Extent::Count(capacity))) => {
                restore_values(ring, condition, capacity, values)?;
            }
            (Self::Bits { count, hits }, LeafState::Window(Samples::Bits(ring)), Some(Extent::Count(capacity))) => {
                restore_bits(ring, capacity, count, hits)?;
            }
            (
                Self::Slices { index, slices },
                LeafState::Window(Samples::Slices(ring)),
                Some(Extent::Span { slices: len, slice }),
            ) => {
                // Where a clock's end cut times off, the newest slice may seem to lie ahead of it: it would never be left.
                let index = index.min(lived.unwrap_or(0) / slice);
                **ring = restore_slices(condition, len, index, slices)?;
            }
            _ => return Err("the samples of this kind of condition"),
        }
        Ok(fresh)
    }
}

fn restore_values(
    ring: &mut ValueRing,
    condition: &Condition,
    capacity: u32,
    mut values: ValueRing,
) -> Result<(), &'static str> {
    if values.count() > capacity {
        return Err("no more samples than the window holds");
    }
    let is_hit = |value: i64| match condition {
        Condition::LatencyAbove { threshold, .. } => {
            u64::try_from(value).map(|nanos| nanos > *threshold).map_err(|_| "latencies that aren't negative")
        }
        _ => Score::from_units(value).map(|_| false).ok_or("scores of at most 10^15 units"),
    };
    values.mark(is_hit)?;
    *ring = values;
    Ok(())
}

fn restore_bits(ring: &mut BitRing, capacity: u32, count: u32, hits: &[u8]) -> Result<(), &'static str> {
    if count > capacity || hits.len() != count.div_ceil(8) as usize {
        return Err("no more samples than the window holds");
    }
    for place in 0..count {
        ring.push(capacity, hits[place as usize / 8] >> (place % 8) & 1 == 1);
    }
    Ok(())
}

fn restore_slices(
    condition: &Condition,
    len: u32,
    index: u64,
    saved: Vec<(u32, Slice)>,
) -> Result<SliceRing, &'static str> {
    let mut slices = alloc::vec![Slice::EMPTY; len as usize];
    // A score has at most 10^15 units, a latency at most 2^63 - 1 ns, a hit counts as 1.
    let value_max = u128::from(if condition.is_quality() { UNITS_MAX } else { i64::MAX }.unsigned_abs());
    let mut count: u64 = 0;
    for (place, slice) in saved {
        count += u64::from(slice.count);
        let most = u128::from(slice.count) * value_max;
        if slice.hits > slice.count || slice.sum.unsigned_abs() > most || count > u64::from(u32::MAX) {
            return Err("slices whose hits and sums are within the range of their counts");
        }
        *slices.get_mut(place as usize).ok_or("no more slices than the window has")? = slice;
    }
    Ok(SliceRing::from_slices(slices.into(), index))
}
