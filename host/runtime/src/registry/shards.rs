//! A family's breakers by key, in shards with a lock each: threads with different keys seldom meet.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use ecow::EcoString;
use hashbrown::HashTable;
use parking_lot::Mutex;

use super::retired::Retired;
use crate::breaker::Breaker;
use crate::types::{State, Time};

/// Families of fewer keys than this have one shard: their order of retirement is then nearly exact.
pub(super) const SHARDED_FROM: usize = 1024;
/// Shards for each instance of the component at least, so that two threads seldom want the same.
const SHARDS_EACH_MIN: usize = 8;
/// Keys of a shard at most when the family is full.
const SHARD_KEYS_MAX: usize = 55_000;
/// From so many on a shard's table is as large as it will be: one that doubles time and again leaves those before it behind.
const GROWN_FROM: usize = 512;
/// How many times as many breakers may count as busy at once as there are buffers: those that are lent one already are asked
/// whether they still use it.
const BUSY_TIMES: u64 = 8;
/// How many breakers of a shard are looked at for one that may retire; the next call looks at those that follow.
const RETIRE_LOOKS_MAX: usize = 1024;
/// Among how many that may retire the one is chosen that wasn't called for longest.
const RETIRE_CHOICE: usize = 16;

/// What left the family, to be dropped when its locks are free.
#[allow(dead_code, reason = "held to be dropped")]
pub(super) enum Gone {
    Breaker(Breaker),
    Retired(Retired),
}

/// A family's breakers at work.
pub(super) struct Shards {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// Keys come from outside, so that they are hashed as `std` does it: nobody can choose keys that meet.
    hasher: RandomState,
    /// How many there are, of all shards.
    live: CachePadded<AtomicUsize>,
    /// Instances of the component.
    slots: usize,
    /// 2 to the power of this many breakers are asked for in an age of a shard.
    age_bits: u32,
}

/// How many shards: of those numbers that spread keys widely enough, the one whose tables take least when the family is full.
fn count(live_max: usize, slots: usize) -> usize {
    if live_max < SHARDED_FROM {
        return 1;
    }
    // As many for each instance.
    let slots = slots.max(1);
    let fewest = live_max.div_ceil(SHARD_KEYS_MAX).max(SHARDS_EACH_MIN * slots).next_multiple_of(slots);
    // A table has 2^n places, of which seven eighths are taken at most.
    let places = |count: &usize| count * (keys_each(live_max, *count) * 8 / 7).next_power_of_two();
    (fewest..=2 * fewest).step_by(slots).min_by_key(places).unwrap_or(fewest)
}

/// Keys that a shard has when the family is full, some more than its share, since they are spread unevenly.
fn keys_each(live_max: usize, count: usize) -> usize {
    let share = live_max.div_ceil(count);
    share + 5 * share.isqrt()
}

/// The breakers of one shard.
#[derive(Default)]
pub(super) struct Shard {
    /// How many there are when the family is full.
    full: usize,
    breakers: HashTable<Breaker>,
    /// Where the next look for one that may retire begins.
    hand: usize,
    /// How often a breaker was asked for.
    gets: u64,
}

impl Shards {
    /// For a family of so many keys, whose breakers sit in so many instances.
    /// A breaker counts as busy after `lease_after` calls in an age, which is so long that few more can be than there are
    /// buffers for.
    pub(super) fn new(live_max: usize, slots: usize, lease_after: u32, lent_max: usize) -> Self {
        let count = count(live_max, slots);
        let full = keys_each(live_max, count);
        let shards = (0..count).map(|_| CachePadded::new(Mutex::new(Shard { full, ..Shard::default() }))).collect();
        let gets = (lent_max / count).max(1) as u64 * u64::from(lease_after).max(1) * BUSY_TIMES;
        let age_bits = gets.checked_next_power_of_two().map_or(63, u64::ilog2);
        Self { shards, hasher: RandomState::new(), live: CachePadded::default(), slots, age_bits }
    }

    pub(super) fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// A shard's number. The table takes the hash's highest bits and its lowest; this takes others.
    fn number(&self, hash: u64) -> usize {
        let middle = (hash >> 24) & u64::from(u32::MAX);
        // Below the number of shards.
        ((middle * self.shards.len() as u64) >> 32) as usize
    }

    pub(super) fn of(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[self.number(hash)]
    }

    pub(super) fn others(&self, hash: u64) -> impl Iterator<Item = &Mutex<Shard>> {
        let own = self.number(hash);
        self.shards.iter().enumerate().filter(move |(number, _)| *number != own).map(|(_, shard)| &**shard)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Mutex<Shard>> {
        self.shards.iter().map(|shard| &**shard)
    }

    /// The breaker of a key that is at work.
    pub(super) fn get(&self, hash: u64, key: &str) -> Option<Breaker> {
        let mut shard = self.of(hash).lock();
        shard.gets += 1;
        // Ages are told apart by their last 8 bits.
        let age = (shard.gets >> self.age_bits) as u8;
        let breaker = shard.get(hash, key)?;
        drop(shard);
        breaker.grow_older(age);
        Some(breaker)
    }

    /// The instance in which a shard's breakers should sit; any, where there is one shard.
    pub(super) fn slot_of(&self, hash: u64) -> Option<usize> {
        (self.shards.len() > 1).then(|| self.number(hash) % self.slots.max(1))
    }

    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Counts one more in, where there is room for it.
    pub(super) fn count_in(&self, live_max: usize) -> bool {
        let more = |live: usize| (live < live_max.max(1)).then_some(live + 1);
        self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn count_out(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One that has retired: its key, its snapshot, when that was taken, its trip count, and itself.
pub(super) type Retiring = (EcoString, Arc<[u8]>, Time, u64, Breaker);

impl Shard {
    pub(super) fn get(&self, hash: u64, key: &str) -> Option<Breaker> {
        self.breakers.find(hash, |breaker| breaker.0.key == key).cloned()
    }

    pub(super) fn get_mut(&mut self, hash: u64, key: &str) -> Option<&mut Breaker> {
        self.breakers.find_mut(hash, |breaker| breaker.0.key == key)
    }

    /// Takes in a breaker whose key isn't there.
    pub(super) fn put(&mut self, hash: u64, breaker: Breaker, hash_of: impl Fn(&str) -> u64) {
        if self.breakers.len() == GROWN_FROM {
            let further = self.full.saturating_sub(GROWN_FROM);
            self.breakers.reserve(further, |breaker| hash_of(&breaker.0.key));
        }
        self.breakers.insert_unique(hash, breaker, |breaker| hash_of(&breaker.0.key));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Breaker> {
        self.breakers.iter()
    }

    /// Takes out a closed breaker that nobody holds, and that wasn't called for long, with its snapshot.
    pub(super) fn retire_one(&mut self) -> Option<Retiring> {
        let buckets = self.breakers.num_buckets();
        let (mut looks, mut choice) = (0, Vec::with_capacity(RETIRE_CHOICE));
        for _ in 0..buckets {
            self.hand = (self.hand + 1) % buckets;
            let Some(breaker) = self.breakers.get_bucket(self.hand) else { continue };
            looks += 1;
            // Under the shard's lock nobody can get hold of it, and nobody else has it.
            if triomphe::Arc::strong_count(&breaker.0) == 1 && breaker.state() == State::Closed {
                choice.push((breaker.latest(), self.hand));
            }
            if choice.len() == RETIRE_CHOICE || looks == RETIRE_LOOKS_MAX {
                break;
            }
        }
        choice.sort_unstable();
        // The component may fail at one's snapshot.
        choice.into_iter().find_map(|(_, bucket)| self.retire(bucket))
    }

    fn retire(&mut self, bucket: usize) -> Option<Retiring> {
        let (snapshot, at, trip_count) = self.breakers.get_bucket(bucket)?.retire()?;
        let (breaker, _) = self.breakers.get_bucket_entry(bucket).ok()?.remove();
        // At once: the one that is made instead of it needs the room.
        breaker.leave();
        Some((breaker.0.key.clone(), snapshot, at, trip_count, breaker))
    }
}
