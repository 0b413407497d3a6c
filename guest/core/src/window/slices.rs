//! The samples of the last span of time, summed up slice by slice.

use alloc::{boxed::Box, vec};
use serde::{Deserialize, Serialize};

use super::Sample;

/// The samples of one slice, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slice {
    pub(crate) count: u32,
    pub(crate) hits: u32,
    pub(crate) sum: i128,
    /// The least value; the largest `i64` where there is none.
    pub(crate) least: i64,
}

impl Slice {
    pub(crate) const EMPTY: Self = Self { count: 0, hits: 0, sum: 0, least: i64::MAX };
}

/// A ring of slices. The slice of index i holds the samples from i to i + 1 slices after the breaker's first record.
#[derive(Clone, Debug)]
pub(crate) struct SliceRing {
    slices: Box<[Slice]>,
    /// The index of the newest slice.
    index: u64,
    total: Slice,
}

impl SliceRing {
    pub(crate) fn new(slices: u32) -> Self {
        Self { slices: vec![Slice::EMPTY; slices as usize].into(), index: 0, total: Slice::EMPTY }
    }

    /// A ring with these slices, the newest at `index`.
    pub(crate) fn from_slices(slices: Box<[Slice]>, index: u64) -> Self {
        let mut ring = Self { slices, index, total: Slice::EMPTY };
        for slice in &ring.slices {
            ring.total.count = ring.total.count.saturating_add(slice.count);
            ring.total.hits = ring.total.hits.saturating_add(slice.hits);
            ring.total.sum += slice.sum;
        }
        ring
    }

    /// Moves on to the slice of this index, forgetting those that fall out. Never backwards.
    pub(crate) fn roll(&mut self, index: u64) {
        if index <= self.index {
            return;
        }
        let len = self.slices.len() as u64;
        if index - self.index >= len {
            self.slices.fill(Slice::EMPTY);
            self.total = Slice::EMPTY;
        } else {
            for passed in self.index + 1..=index {
                let slice = core::mem::replace(&mut self.slices[(passed % len) as usize], Slice::EMPTY);
                self.total.count -= slice.count;
                self.total.hits -= slice.hits;
                self.total.sum -= slice.sum;
            }
        }
        self.index = index;
    }

    pub(crate) fn push(&mut self, sample: Sample) {
        let place = (self.index % self.slices.len() as u64) as usize;
        let slice = &mut self.slices[place];
        // A slice that is full to the brim (2^32 samples) takes no more: the rate it stands for hardly changes.
        if self.total.count == u32::MAX {
            return;
        }
        for part in [slice, &mut self.total] {
            part.count += 1;
            part.hits += u32::from(sample.hit);
            part.sum += i128::from(sample.value);
            part.least = part.least.min(sample.value);
        }
    }

    /// So many samples that are no hits and have no value.
    pub(crate) fn push_misses(&mut self, misses: u32) {
        let place = (self.index % self.slices.len() as u64) as usize;
        let misses = misses.min(u32::MAX - self.total.count);
        for part in [&mut self.slices[place], &mut self.total] {
            part.count += misses;
            if misses > 0 {
                part.least = part.least.min(0);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slices.fill(Slice::EMPTY);
        (self.index, self.total) = (0, Slice::EMPTY);
    }

    /// Count, hits and sum of all slices. Its `least` is of no use: it doesn't forget.
    pub(crate) fn total(&self) -> Slice {
        self.total
    }

    pub(crate) fn least(&self) -> Option<i64> {
        self.slices.iter().filter(|slice| slice.count > 0).map(|slice| slice.least).min()
    }

    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn slices(&self) -> &[Slice] {
        &self.slices
    }
}
