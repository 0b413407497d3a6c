//! The last so many hits and misses, a bit each.

use alloc::{boxed::Box, vec, vec::Vec};
use core::mem::size_of;

/// Windows of up to this many samples need no allocation: a million idle breakers are a million of these.
const SMALL: u32 = 64;

/// Bytes that a full ring takes beside itself.
pub(super) fn heap_bytes(capacity: u32) -> u64 {
    if capacity <= SMALL { 0 } else { u64::from(capacity).div_ceil(64) * 8 + size_of::<Large>() as u64 }
}

/// A ring of bits.
#[derive(Clone, Debug)]
pub(crate) enum BitRing {
    /// Of up to [`SMALL`] samples. Where there is no sample the bit is 0, so that the bits which are set are the hits.
    Small {
        bits: u64,
        /// Where the next sample goes.
        next: u8,
        count: u8,
    },
    Large(Box<Large>),
}

/// One of more samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Large {
    words: Vec<u64>,
    next: u32,
    count: u32,
    hits: u32,
}

impl BitRing {
    pub(crate) fn new(capacity: u32) -> Self {
        if capacity <= SMALL { Self::Small { bits: 0, next: 0, count: 0 } } else { Self::Large(Box::default()) }
    }

    pub(crate) fn push(&mut self, capacity: u32, hit: bool) {
        match self {
            Self::Small { bits, next, count } => {
                *bits = *bits & !(1 << *next) | u64::from(hit) << *next;
                let place = u32::from(*next) + 1;
                *count = u32::from(*count).max(place) as u8;
                *next = if place == capacity { 0 } else { place as u8 };
            }
            Self::Large(large) => large.push(capacity, hit),
        }
    }

    /// So many misses, one after the other.
    pub(crate) fn push_misses(&mut self, capacity: u32, misses: u32) {
        if misses >= capacity || self.hits() == 0 && self.count() == capacity {
            // Nothing but misses is left, and of those it doesn't matter which is the oldest.
            self.clear();
            match self {
                // The capacity is small.
                Self::Small { count, .. } => *count = capacity as u8,
                Self::Large(large) => large.count = capacity,
            }
            return;
        }
        for _ in 0..misses {
            self.push(capacity, false);
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Small { bits, next, count } => (*bits, *next, *count) = (0, 0, 0),
            Self::Large(large) => {
                large.words.clear();
                (large.next, large.count, large.hits) = (0, 0, 0);
            }
        }
    }

    pub(crate) fn count(&self) -> u32 {
        match self {
            Self::Small { count, .. } => u32::from(*count),
            Self::Large(large) => large.count,
        }
    }

    pub(crate) fn hits(&self) -> u32 {
        match self {
            Self::Small { bits, .. } => bits.count_ones(),
            Self::Large(large) => large.hits,
        }
    }

    /// The samples, oldest first, eight a byte, the first in the lowest bit; the last byte's unused bits are 0.
    pub(crate) fn bytes(&self, capacity: u32) -> impl ExactSizeIterator<Item = u8> + Clone + '_ {
        let count = self.count();
        let oldest = if count == capacity { self.next() } else { 0 };
        let hit = move |i: u32| u8::from(self.get((oldest + i) % capacity));
        let byte = move |byte: u32| (byte * 8..count.min(byte * 8 + 8)).fold(0, |bits, i| bits | hit(i) << (i % 8));
        (0..count.div_ceil(8)).map(byte)
    }

    fn next(&self) -> u32 {
        match self {
            Self::Small { next, .. } => u32::from(*next),
            Self::Large(large) => large.next,
        }
    }

    fn get(&self, place: u32) -> bool {
        match self {
            Self::Small { bits, .. } => bits >> (place % 64) & 1 == 1,
            Self::Large(large) => large.get(place),
        }
    }
}

impl Large {
    fn push(&mut self, capacity: u32, hit: bool) {
        let place = self.next;
        if self.count == capacity {
            self.hits -= u32::from(self.get(place));
        } else {
            self.count += 1;
        }
        self.hits += u32::from(hit);
        if self.words.is_empty() {
            self.words = vec![0; capacity.div_ceil(64) as usize];
        }
        let word = &mut self.words[place as usize / 64];
        *word = *word & !(1 << (place % 64)) | u64::from(hit) << (place % 64);
        self.next = if place + 1 == capacity { 0 } else { place + 1 };
    }

    fn get(&self, place: u32) -> bool {
        self.words.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Small or large, it holds the last samples.
        #[test]
        fn holds_the_last_samples(
            capacity in prop_oneof![1u32..=70, 63u32..=65],
            samples in prop::collection::vec((any::<bool>(), 0u32..9), 0..100),
        ) {
            let mut ring = BitRing::new(capacity);
            let mut all: Vec<bool> = vec![];
            for (hit, misses) in samples {
                ring.push(capacity, hit);
                ring.push_misses(capacity, misses);
                all.push(hit);
                all.extend((0..misses).map(|_| false));
                let last = &all[all.len().saturating_sub(capacity as usize)..];
                prop_assert_eq!(ring.count() as usize, last.len());
                prop_assert_eq!(ring.hits() as usize, last.iter().filter(|hit| **hit).count());
                let bytes: Vec<u8> = ring.bytes(capacity).collect();
                let byte = |chunk: &[bool]| (0..).zip(chunk).fold(0u8, |byte, (bit, hit)| byte | u8::from(*hit) << bit);
                prop_assert_eq!(bytes, last.chunks(8).map(byte).collect::<Vec<u8>>());
            }
        }
    }
}
