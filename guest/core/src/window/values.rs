//! The last so many values, with their exact sum.

use super::Sample;
use alloc::vec::Vec;

/// A ring of values. It grows to its capacity as samples come, since most of a million breakers see few.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueRing {
    values: Vec<i64>,
    /// Hits, a bit for each place.
    hit_bits: Vec<u64>,
    /// The oldest sample's place, once the ring is full.
    oldest: u32,
    hits: u32,
    sum: i128,
}

/// Bytes that a full ring takes beside itself; `hits` says whether its samples may be hits.
pub(super) fn heap_bytes(capacity: u32, hits: bool) -> u64 {
    let words = if hits { u64::from(capacity).div_ceil(64) } else { 0 };
    (u64::from(capacity) + words) * 8
}

impl ValueRing {
    /// A ring with these values, oldest first: no more than its capacity. `hit` may find something wrong with one.
    pub(crate) fn from_values<E>(
        capacity: u32,
        values: Vec<i64>,
        hit: impl Fn(i64) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut ring = Self { values, ..Self::default() };
        ring.values.truncate(capacity as usize);
        for place in 0..ring.values.len() {
            let value = ring.values[place];
            ring.set_hit(place, hit(value)?);
            ring.sum += i128::from(value);
        }
        Ok(ring)
    }

    pub(crate) fn push(&mut self, capacity: u32, sample: Sample) {
        if self.values.len() < capacity as usize {
            let place = self.values.len();
            if self.values.capacity() == place {
                // Doubling, but never past the capacity.
                self.values.reserve_exact(place.max(4).min(capacity as usize - place));
            }
            self.values.push(sample.value);
            self.set_hit(place, sample.hit);
        } else {
            let place = self.oldest as usize;
            self.sum -= i128::from(self.values[place]);
            self.values[place] = sample.value;
            self.set_hit(place, sample.hit);
            self.oldest = if place + 1 == self.values.len() { 0 } else { self.oldest + 1 };
        }
        self.sum += i128::from(sample.value);
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.hit_bits.clear();
        (self.oldest, self.hits, self.sum) = (0, 0, 0);
    }

    pub(crate) fn count(&self) -> u32 {
        // At most the window's capacity, which is a u32.
        self.values.len() as u32
    }

    pub(crate) fn hits(&self) -> u32 {
        self.hits
    }

    pub(crate) fn sum(&self) -> i128 {
        self.sum
    }

    pub(crate) fn least(&self) -> Option<i64> {
        self.values.iter().copied().min()
    }

    /// The values, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + Clone + '_ {
        let (newer, older) = self.values.split_at(self.oldest as usize);
        older.iter().chain(newer).copied()
    }

    /// The place is one of the values'. Words for hits exist only from the first hit on: scores have none.
    fn set_hit(&mut self, place: usize, hit: bool) {
        let (word, bit) = (place / 64, 1u64 << (place % 64));
        if word >= self.hit_bits.len() {
            if !hit {
                return;
            }
            // As many as there are values, at once: doubling could take more than the whole ring needs.
            self.hit_bits.reserve_exact(self.values.capacity().div_ceil(64) - self.hit_bits.len());
            self.hit_bits.resize(word + 1, 0);
        }
        let bits = &mut self.hit_bits[word];
        self.hits -= u32::from(*bits & bit != 0);
        self.hits += u32::from(hit);
        *bits = if hit { *bits | bit } else { *bits & !bit };
    }
}
