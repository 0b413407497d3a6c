//! The last so many hits and misses, a bit each.

use alloc::{vec, vec::Vec};

/// Windows of up to this many samples need no allocation: a million idle breakers are a million of these.
const INLINE: u32 = 64;

/// Bytes that a full ring takes beside itself.
pub(super) fn heap_bytes(capacity: u32) -> u64 {
    if capacity <= INLINE { 0 } else { u64::from(capacity).div_ceil(64) * 8 }
}

#[derive(Clone, Debug)]
enum Words {
    Inline(u64),
    Heap(Vec<u64>),
}

/// A ring of bits.
#[derive(Clone, Debug)]
pub(crate) struct BitRing {
    words: Words,
    /// Where the next sample goes.
    next: u32,
    count: u32,
    hits: u32,
}

impl BitRing {
    pub(crate) fn new(capacity: u32) -> Self {
        let words = if capacity <= INLINE { Words::Inline(0) } else { Words::Heap(Vec::new()) };
        Self { words, next: 0, count: 0, hits: 0 }
    }

    pub(crate) fn push(&mut self, capacity: u32, hit: bool) {
        let place = self.next;
        if self.count == capacity {
            self.hits -= u32::from(self.get(place));
        } else {
            self.count += 1;
        }
        self.hits += u32::from(hit);
        self.set(capacity, place, hit);
        self.next = if place + 1 == capacity { 0 } else { place + 1 };
    }

    /// So many misses, one after the other.
    pub(crate) fn push_misses(&mut self, capacity: u32, misses: u32) {
        if self.hits == 0 && self.count == capacity {
            // They push out misses, so nothing changes but the place.
            self.next = ((u64::from(self.next) + u64::from(misses)) % u64::from(capacity)) as u32;
            return;
        }
        for _ in 0..misses {
            self.push(capacity, false);
        }
    }

    pub(crate) fn clear(&mut self) {
        if let Words::Heap(words) = &mut self.words {
            words.clear();
        }
        (self.next, self.count, self.hits) = (0, 0, 0);
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn hits(&self) -> u32 {
        self.hits
    }

    /// The samples, oldest first, eight a byte, the first in the lowest bit; the last byte's unused bits are 0.
    pub(crate) fn bytes(&self, capacity: u32) -> impl ExactSizeIterator<Item = u8> + Clone + '_ {
        let oldest = if self.count == capacity { self.next } else { 0 };
        let hit = move |i: u32| u8::from(self.get((oldest + i) % capacity));
        let byte =
            move |byte: u32| (byte * 8..self.count.min(byte * 8 + 8)).fold(0, |bits, i| bits | hit(i) << (i % 8));
        (0..self.count.div_ceil(8)).map(byte)
    }

    fn get(&self, place: u32) -> bool {
        let word = match &self.words {
            Words::Inline(word) => *word,
            Words::Heap(words) => words.get(place as usize / 64).copied().unwrap_or(0),
        };
        word >> (place % 64) & 1 == 1
    }

    fn set(&mut self, capacity: u32, place: u32, hit: bool) {
        let word = match &mut self.words {
            Words::Inline(word) => word,
            Words::Heap(words) => {
                if words.is_empty() {
                    *words = vec![0; capacity.div_ceil(64) as usize];
                }
                &mut words[place as usize / 64]
            }
        };
        *word = *word & !(1 << (place % 64)) | u64::from(hit) << (place % 64);
    }
}
