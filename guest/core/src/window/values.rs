//! The last so many values, with their exact sum.

use super::Sample;
use crate::policy::WINDOW_MAX;
use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use core::mem::size_of;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

/// Rings of up to this many values have room for all of them from the first.
const SMALL: u32 = 64;

/// A ring of values. It grows to its capacity as samples come, since most of a million breakers see few.
#[derive(Clone, Debug)]
pub(crate) struct ValueRing {
    values: Values,
    /// From the first hit on: scores have none.
    hits: Option<Box<Hits>>,
    /// The oldest sample's place, once the ring is full.
    oldest: u32,
}

/// Values by place. While all of them fit, each takes four bytes: scores from -2.1 to 2.1, latencies up to 2.1 seconds.
#[derive(Clone, Debug)]
enum Values {
    /// 2^32 of them can't make the sum overflow.
    Narrow {
        values: Vec<i32>,
        sum: i64,
    },
    Wide(Box<Wide>),
}

#[derive(Clone, Debug)]
struct Wide {
    values: Vec<i64>,
    sum: i128,
}

/// Which samples are hits.
#[derive(Clone, Debug, Default)]
struct Hits {
    /// A bit for each place, as far as there are hits.
    bits: Vec<u64>,
    count: u32,
}

/// Bytes that a full ring takes beside itself at most; `hits` says whether its samples may be hits.
pub(super) fn heap_bytes(capacity: u32, hits: bool) -> u64 {
    let words = if hits { u64::from(capacity).div_ceil(64) } else { 0 };
    (u64::from(capacity) + words) * 8 + (size_of::<Wide>() + size_of::<Hits>()) as u64
}

impl Default for ValueRing {
    fn default() -> Self {
        Self { values: Values::Narrow { values: Vec::new(), sum: 0 }, hits: None, oldest: 0 }
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Narrow { values, .. } => values.len(),
            Self::Wide(wide) => wide.values.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Narrow { values, .. } => values.capacity(),
            Self::Wide(wide) => wide.values.capacity(),
        }
    }

    fn reserve_exact(&mut self, more: usize) {
        match self {
            Self::Narrow { values, .. } => values.reserve_exact(more),
            Self::Wide(wide) => wide.values.reserve_exact(more),
        }
    }

    /// The place is one of the values'.
    fn at(&self, place: usize) -> i64 {
        match self {
            Self::Narrow { values, .. } => i64::from(values[place]),
            Self::Wide(wide) => wide.values[place],
        }
    }

    /// Appends a value, for which there is room.
    fn append(&mut self, value: i64) {
        match (self, i32::try_from(value)) {
            (Self::Narrow { values, sum }, Ok(narrow)) => {
                *sum += value;
                values.push(narrow);
            }
            (values, _) => {
                let wide = values.widened();
                wide.sum += i128::from(value);
                wide.values.push(value);
            }
        }
    }

    /// Puts a value in the place of another.
    fn replace(&mut self, place: usize, value: i64) {
        match (self, i32::try_from(value)) {
            (Self::Narrow { values, sum }, Ok(narrow)) => {
                *sum += value - i64::from(core::mem::replace(&mut values[place], narrow));
            }
            (values, _) => {
                let wide = values.widened();
                let old = core::mem::replace(&mut wide.values[place], value);
                wide.sum += i128::from(value) - i128::from(old);
            }
        }
    }

    /// The same values, eight bytes each.
    fn widened(&mut self) -> &mut Wide {
        if let Self::Narrow { values, sum } = self {
            let mut wide = Wide { values: Vec::with_capacity(values.capacity()), sum: i128::from(*sum) };
            wide.values.extend(values.iter().copied().map(i64::from));
            *self = Self::Wide(Box::new(wide));
        }
        match self {
            Self::Wide(wide) => wide,
            // It has just been made wide.
            Self::Narrow { .. } => unreachable!(),
        }
    }
}

impl ValueRing {
    /// Says which of the values that were read are hits. `hit` may find something wrong with one.
    pub(crate) fn mark<E>(&mut self, hit: impl Fn(i64) -> Result<bool, E>) -> Result<(), E> {
        for place in 0..self.values.len() {
            self.set_hit(place, hit(self.values.at(place))?);
        }
        Ok(())
    }

    pub(crate) fn push(&mut self, capacity: u32, sample: Sample) {
        let len = self.values.len();
        if len < capacity as usize {
            if self.values.capacity() == len {
                // Doubling, but never past the capacity; a small ring at one go, since what it left on its way would fit no other.
                let all = capacity as usize - len;
                let more = if capacity <= SMALL { all } else { len.max(4).min(all) };
                self.values.reserve_exact(more);
            }
            self.values.append(sample.value);
            self.set_hit(len, sample.hit);
        } else {
            let place = self.oldest as usize;
            self.values.replace(place, sample.value);
            self.set_hit(place, sample.hit);
            self.oldest = if place + 1 == len { 0 } else { self.oldest + 1 };
        }
    }

    /// What was wide stays so: values like those that came will come again.
    pub(crate) fn clear(&mut self) {
        match &mut self.values {
            Values::Narrow { values, sum } => {
                values.clear();
                *sum = 0;
            }
            Values::Wide(wide) => {
                wide.values.clear();
                wide.sum = 0;
            }
        }
        if let Some(hits) = &mut self.hits {
            hits.bits.clear();
            hits.count = 0;
        }
        self.oldest = 0;
    }

    pub(crate) fn count(&self) -> u32 {
        // At most the window's capacity, which is a u32.
        self.values.len() as u32
    }

    pub(crate) fn hits(&self) -> u32 {
        self.hits.as_ref().map_or(0, |hits| hits.count)
    }

    pub(crate) fn sum(&self) -> i128 {
        match &self.values {
            Values::Narrow { sum, .. } => i128::from(*sum),
            Values::Wide(wide) => wide.sum,
        }
    }

    pub(crate) fn least(&self) -> Option<i64> {
        self.iter().min()
    }

    /// The values, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + Clone + '_ {
        let oldest = self.oldest as usize;
        (oldest..self.values.len()).chain(0..oldest).map(|place| self.values.at(place))
    }

    /// The place is one of the values'. Words for hits exist only from the first hit on.
    fn set_hit(&mut self, place: usize, hit: bool) {
        if !hit && self.hits.is_none() {
            return;
        }
        let hits = self.hits.get_or_insert_default();
        let (word, bit) = (place / 64, 1u64 << (place % 64));
        if word >= hits.bits.len() {
            if !hit {
                return;
            }
            // As many as there are values, at once: doubling could take more than the whole ring needs.
            hits.bits.reserve_exact(self.values.capacity().div_ceil(64) - hits.bits.len());
            hits.bits.resize(word + 1, 0);
        }
        let bits = &mut hits.bits[word];
        hits.count -= u32::from(*bits & bit != 0);
        hits.count += u32::from(hit);
        *bits = if hit { *bits | bit } else { *bits & !bit };
    }
}

/// Reads a sequence of values, oldest first, straight into a ring without hits: nothing is collected for it.
impl<'de> Deserialize<'de> for ValueRing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = ValueRing;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence of values")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<ValueRing, A::Error> {
                let mut ring = ValueRing::default();
                // What is said of its length may be wrong.
                ring.values.reserve_exact(sequence.size_hint().unwrap_or(0).min(WINDOW_MAX as usize));
                while let Some(value) = sequence.next_element()? {
                    ring.values.append(value);
                }
                Ok(ring)
            }
        }

        deserializer.deserialize_seq(Reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// A value that is narrow, or just isn't.
    fn values() -> impl Strategy<Value = i64> {
        let edge = i64::from(i32::MAX);
        prop_oneof![6 => -1000i64..1000, 1 => edge - 1..=edge + 1, 1 => -edge - 2..=-edge, 1 => any::<i64>()]
    }

    proptest! {
        /// Whatever its width, it holds the last values, their sum and their hits.
        #[test]
        fn holds_the_last_values(capacity in 1u32..70, samples in prop::collection::vec((values(), any::<bool>()), 0..200), cleared in 0usize..200) {
            let mut ring = ValueRing::default();
            let mut all = vec![];
            for (number, (value, hit)) in samples.into_iter().enumerate() {
                if number == cleared {
                    ring.clear();
                    all.clear();
                }
                ring.push(capacity, Sample { value, hit });
                all.push((value, hit));
                let last = &all[all.len().saturating_sub(capacity as usize)..];
                prop_assert!(ring.iter().eq(last.iter().map(|(value, _)| *value)));
                prop_assert_eq!(ring.sum(), last.iter().map(|(value, _)| i128::from(*value)).sum::<i128>());
                prop_assert_eq!(ring.hits() as usize, last.iter().filter(|(_, hit)| *hit).count());
                prop_assert_eq!(ring.count() as usize, last.len());
                prop_assert_eq!(ring.least(), last.iter().map(|(value, _)| *value).min());
            }
        }
    }
}
