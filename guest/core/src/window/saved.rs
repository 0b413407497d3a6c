//! A leaf's state in a snapshot: its samples alone. Counts and sums are computed anew.

use super::{BitRing, Extent, Sample, Samples, Slice, SliceRing, ValueRing};
use crate::condition::{Condition, LeafState};
use crate::event::bounded;
use crate::score::{Score, UNITS_MAX};
use crate::time::Nanos;
use alloc::{string::ToString, vec::Vec};
use serde::{Deserialize, Serialize};

/// The samples of a leaf, oldest first.
#[derive(Serialize, Deserialize)]
pub(crate) enum SavedLeaf {
    /// Hits, eight a byte.
    Bits {
        count: u32,
        hits: Vec<u8>,
    },
    Values(Vec<i64>),
    Slices {
        index: u64,
        /// The slices that aren't empty, by place.
        slices: Vec<(u32, Slice)>,
    },
    Streak(u32),
    Verdict(Option<alloc::string::String>),
}

impl SavedLeaf {
    pub(crate) fn of(condition: &Condition, state: &LeafState) -> Self {
        match state {
            LeafState::Streak(streak) => Self::Streak(*streak),
            LeafState::Verdict(verdict) => Self::Verdict(verdict.as_deref().map(ToString::to_string)),
            LeafState::Window(Samples::Values(ring)) => Self::Values(ring.iter().collect()),
            LeafState::Window(Samples::Slices(ring)) => {
                // At most SLICES_MAX.
                let places = ring.slices().iter().enumerate().map(|(place, slice)| (place as u32, *slice));
                Self::Slices {
                    index: ring.index(),
                    slices: places.filter(|(_, slice)| *slice != Slice::EMPTY).collect(),
                }
            }
            LeafState::Window(Samples::Bits(ring)) => {
                let capacity = match condition.window().map(|window| window.extent) {
                    Some(Extent::Count(capacity)) => capacity,
                    _ => 0,
                };
                let mut hits = alloc::vec![0u8; ring.count().div_ceil(8) as usize];
                for (place, hit) in ring.iter(capacity).enumerate() {
                    hits[place / 8] |= u8::from(hit) << (place % 8);
                }
                Self::Bits { count: ring.count(), hits }
            }
        }
    }

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
                restore_bits(ring, capacity, count, &hits)?;
            }
            (
                Self::Slices { index, slices },
                LeafState::Window(Samples::Slices(ring)),
                Some(Extent::Span { slices: len, slice }),
            ) => {
                // Where a clock's end cut times off, the newest slice may seem to lie ahead of it: it would never be left.
                let index = index.min(lived.unwrap_or(0) / slice);
                *ring = restore_slices(condition, len, index, slices)?;
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
    values: Vec<i64>,
) -> Result<(), &'static str> {
    if values.len() > capacity as usize {
        return Err("no more samples than the window holds");
    }
    for value in values {
        let hit = match condition {
            Condition::LatencyAbove { threshold, .. } => {
                u64::try_from(value).map_err(|_| "latencies that aren't negative")? > *threshold
            }
            _ => {
                Score::from_units(value).ok_or("scores of at most 10^15 units")?;
                false
            }
        };
        ring.push(capacity, Sample { value, hit });
    }
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
