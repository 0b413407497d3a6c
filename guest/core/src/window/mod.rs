//! What a condition looks at: the last so many samples, or those of the last span of time. Every record costs O(1).

mod bits;
pub(crate) mod saved;
mod slices;
mod values;

pub(crate) use bits::BitRing;
pub(crate) use slices::{Slice, SliceRing};
pub(crate) use values::ValueRing;

use crate::time::Nanos;
use alloc::boxed::Box;
use core::mem::size_of;
use serde::{Deserialize, Serialize};

/// How far a condition looks back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Extent {
    /// The last so many samples.
    Count(u32),
    /// The samples of the last span of time, in slices that are aligned to the breaker's first record.
    Span {
        /// Nanoseconds of a slice; the span is `slices` of them.
        slice: Nanos,
        /// How many slices: 1 or more.
        slices: u32,
    },
}

impl Extent {
    /// Whether samples fall out as time passes.
    pub(crate) const fn is_by_time(self) -> bool {
        matches!(self, Self::Span { .. })
    }

    /// Bytes that its samples take beside their ring when it is full; `values` says whether more than hits matters, `hits`
    /// whether hits do.
    pub(crate) fn heap_bytes(self, values: bool, hits: bool) -> u64 {
        match self {
            Self::Count(capacity) if values => values::heap_bytes(capacity, hits),
            Self::Count(capacity) => bits::heap_bytes(capacity),
            Self::Span { slices, .. } => u64::from(slices) * size_of::<Slice>() as u64 + size_of::<SliceRing>() as u64,
        }
    }
}

/// A condition's window: how far it looks back, and how many samples it takes before the condition can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// How far it looks back.
    pub(crate) extent: Extent,
    /// The least number of samples: a full window unless the policy says otherwise. Never 0.
    pub(crate) minimum: u32,
}

/// A sample: a value, and whether it is a hit (an error, a slow call).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) value: i64,
    pub(crate) hit: bool,
}

/// A window's samples.
#[derive(Clone, Debug)]
pub(crate) enum Samples {
    /// By count, where only hits matter.
    Bits(BitRing),
    /// By count, where values matter.
    Values(ValueRing),
    /// By time. They are larger than the others by far.
    Slices(Box<SliceRing>),
}

impl Samples {
    /// An empty window; `values` says whether more than hits matters.
    pub(crate) fn new(extent: Extent, values: bool) -> Self {
        match extent {
            Extent::Span { slices, .. } => Self::Slices(Box::new(SliceRing::new(slices))),
            Extent::Count(_) if values => Self::Values(ValueRing::default()),
            Extent::Count(capacity) => Self::Bits(BitRing::new(capacity)),
        }
    }

    /// Moves a time window on to the slice that `since_origin` (nanoseconds since the breaker's first record) lies in.
    pub(crate) fn roll(&mut self, extent: Extent, since_origin: Nanos) {
        if let (Self::Slices(ring), Extent::Span { slice, .. }) = (self, extent) {
            ring.roll(since_origin / slice);
        }
    }

    pub(crate) fn push(&mut self, extent: Extent, sample: Sample) {
        match (self, extent) {
            (Self::Bits(ring), Extent::Count(capacity)) => ring.push(capacity, sample.hit),
            (Self::Values(ring), Extent::Count(capacity)) => ring.push(capacity, sample),
            (Self::Slices(ring), _) => ring.push(sample),
            // `new` pairs them, and a policy never changes.
            (Self::Bits(_) | Self::Values(_), Extent::Span { .. }) => {}
        }
    }

    /// So many samples that are no hits, of a window in which only hits matter.
    pub(crate) fn push_misses(&mut self, extent: Extent, misses: u32) {
        match (self, extent) {
            (Self::Bits(ring), Extent::Count(capacity)) => ring.push_misses(capacity, misses),
            (Self::Slices(ring), _) => ring.push_misses(misses),
            // `new` pairs the others, and values always matter.
            (Self::Bits(_) | Self::Values(_), _) => {}
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Bits(ring) => ring.clear(),
            Self::Values(ring) => ring.clear(),
            Self::Slices(ring) => ring.clear(),
        }
    }

    /// How many samples there are.
    pub(crate) fn count(&self) -> u32 {
        match self {
            Self::Bits(ring) => ring.count(),
            Self::Values(ring) => ring.count(),
            Self::Slices(ring) => ring.total().count,
        }
    }

    /// How many of them are hits.
    pub(crate) fn hits(&self) -> u32 {
        match self {
            Self::Bits(ring) => ring.hits(),
            Self::Values(ring) => ring.hits(),
            Self::Slices(ring) => ring.total().hits,
        }
    }

    /// The sum of their values.
    pub(crate) fn sum(&self) -> i128 {
        match self {
            Self::Bits(ring) => i128::from(ring.hits()),
            Self::Values(ring) => ring.sum(),
            Self::Slices(ring) => ring.total().sum,
        }
    }

    /// The least of their values, none where there are none. O(window): for reports only.
    pub(crate) fn least(&self) -> Option<i64> {
        match self {
            Self::Bits(_) => None,
            Self::Values(ring) => ring.least(),
            Self::Slices(ring) => ring.least(),
        }
    }
}
