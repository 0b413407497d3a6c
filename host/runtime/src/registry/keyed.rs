//! One breaker per key, bounded: those that nobody has used for long retire to a snapshot, and come back from it.

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::retired::{Retired, RetiredKeys};
use super::shards::{Gone, Shard, Shards};
use crate::breaker::{Breaker, Home, Kin, Lent};
use crate::component::{Cell, NoPlace, Who};
use crate::condition::{Conditions, Held};
use crate::error::RegistryError;
use crate::policy::Policy;
use crate::types::State;

/// The longest key: keys come from outside, and are kept.
const KEY_BYTES_MAX: usize = 1024;
/// How often a key that finds no room asks other shards to retire one, where others are quicker to take what is freed.
const ATTEMPTS_MAX: usize = 4;
/// How many retire for a key at most beyond the one in whose place it comes. One is enough, unless the key's snapshot is longer than what is
/// kept free for one: what 16 transitions say can take as much as some dozens of small breakers.
const MAKE_ROOM_MAX: usize = 64;
/// How many of those who were lent a buffer are asked for it at a time, where another key wants one.
const LENT_ASKED: usize = 2;

/// How a keyed family is bounded.
pub struct KeyedSettings {
    /// Breakers at work at most. Default 10,000. A family's instances of the component must have room for as many with full
    /// windows, or there is no family: how many instances that are follows the machine's cores unless
    /// [`component_instances`](crate::RegistryBuilder::component_instances) says it, so say it where a family must fit on
    /// every machine alike. When a further one is wanted, a closed one that wasn't called for long retires: of 16 that may, the
    /// one that was called first, since an exact order would cost each call two more looks at memory. One that isn't closed,
    /// or that somebody holds, never retires. If none can, the overflow breaker serves.
    ///
    /// An idle breaker takes some 400 bytes with windows of 20, its key among them where that has up to 15 bytes; a longer key
    /// takes its length and 16 to 32 bytes more. One that has recorded 256 calls, or has tripped, has a snapshot besides.
    pub live_max: usize,
    /// Buffers that busy keys are lent at once, some KiB each for each core; see
    /// [`lease_after`](crate::RegistryBuilder::lease_after). Default 1,024. One that its key doesn't use is lent to another that
    /// asks; a key that gets none is served as well, with a call of the component for each outcome.
    pub lent_max: usize,
    /// Snapshots of retired ones that are kept. Default 100,000, some 100 bytes each for small windows. Beyond, the one that
    /// wasn't used for longest is forgotten: its key starts afresh.
    pub retired_max: usize,
    /// Bytes that those snapshots and their keys may have together. Default 64 MiB.
    pub retired_bytes_max: usize,
    /// Makes the host's own conditions for a key, where the policy names some.
    #[allow(clippy::type_complexity, reason = "a function of one argument is as clear as a name for it")]
    pub conditions: Option<Arc<dyn Fn(&str) -> Conditions + Send + Sync>>,
}

impl Default for KeyedSettings {
    fn default() -> Self {
        Self { live_max: 10_000, lent_max: 1024, retired_max: 100_000, retired_bytes_max: 64 << 20, conditions: None }
    }
}

impl KeyedSettings {
    /// A key's conditions. Run without a lock, since they are the host's own code.
    pub(super) fn make_conditions(
        &self,
        family: &str,
        key: Option<&str>,
        policy: &Policy,
    ) -> Result<Held, RegistryError> {
        let name = key.map_or_else(|| family.into(), |key| format!("{family}/{key}").into());
        let made = self.conditions.as_ref().map_or_else(Conditions::new, |make| make(key.unwrap_or(family)));
        Held::new(&name, policy, made)
    }
}

impl fmt::Debug for KeyedSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedSettings")
            .field("live_max", &self.live_max)
            .field("lent_max", &self.lent_max)
            .field("retired_max", &self.retired_max)
            .field("retired_bytes_max", &self.retired_bytes_max)
            .finish_non_exhaustive()
    }
}

/// A family of breakers: one policy, a breaker per key. Cheap to clone.
///
/// Its keys lie in shards with a lock each, so that threads with different keys seldom meet, and each shard's breakers sit in
/// one instance of the component as long as there is room.
#[derive(Clone)]
pub struct Keyed(Arc<Inner>);

struct Inner {
    kin: Arc<Kin>,
    name: Arc<str>,
    settings: KeyedSettings,
    overflow: Breaker,
    shards: Shards,
    /// Locked after a shard, never before.
    retired: Mutex<RetiredKeys>,
}

impl Keyed {
    pub(super) fn new(
        home: &Arc<Home>,
        name: &str,
        policy: &Policy,
        settings: KeyedSettings,
        conditions: Held,
        salt: u64,
    ) -> Result<Self, NoPlace> {
        let name: Arc<str> = name.into();
        let meters = home.metrics.keyed(&name);
        let kin = |family| {
            let (policy, home, meters) = (policy.clone(), Arc::clone(home), Arc::clone(&meters));
            Arc::new(Kin { home, who: Who { policy, family, salt }, meters })
        };
        let own = kin(None);
        let cell = home.slots.place(&own.who, None, None)?;
        let overflow = Breaker::new(&own, (&*name).into(), cell, conditions);
        let (slots, lease_after) = (home.slots.count(), home.lease_after);
        let shards = Shards::new(settings.live_max.max(1), slots, lease_after, settings.lent_max);
        let (kin, retired) = (kin(Some(Arc::clone(&name))), Mutex::default());
        Ok(Self(Arc::new(Inner { kin, name, settings, overflow, shards, retired })))
    }

    /// The family's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The breaker that serves every key for which there is no room.
    #[must_use]
    pub fn overflow(&self) -> &Breaker {
        &self.0.overflow
    }

    /// Breakers at work, the overflow breaker not among them.
    #[must_use]
    pub fn live(&self) -> usize {
        self.0.shards.live()
    }

    /// Breakers that retired and are remembered.
    #[must_use]
    pub fn retired(&self) -> usize {
        self.0.retired.lock().len()
    }

    /// The breaker of this key: the one at work, one that is brought back, or a new one. Whoever holds it keeps it from
    /// retiring, so ask anew for each call.
    ///
    /// # Errors
    /// Where the host's own conditions for this key are not those that the policy names; for a key of more than 1,024
    /// bytes.
    pub fn get(&self, key: &str) -> Result<Breaker, RegistryError> {
        if key.len() > KEY_BYTES_MAX {
            let (family, bytes) = (Arc::clone(&self.0.name), key.len());
            return Err(RegistryError::KeyTooLong { family, bytes, max: KEY_BYTES_MAX });
        }
        let hash = self.0.shards.hash(key);
        let found = self.0.shards.get(hash, key);
        if self.0.kin.home.lendings.take_wanted() {
            self.take_buffers_back();
        }
        found.map_or_else(|| self.bring(hash, key), Ok)
    }

    /// The breaker of a key that isn't at work.
    #[cold]
    fn bring(&self, hash: u64, key: &str) -> Result<Breaker, RegistryError> {
        let Inner { kin, settings, shards, .. } = &*self.0;
        let (mut made, mut attempts) = (None, 0);
        loop {
            // Dropped after the locks, since conditions are the host's own code.
            let mut gone = Vec::new();
            let mut shard = shards.of(hash).lock();
            if let Some(breaker) = shard.get(hash, key) {
                return Ok(breaker);
            }
            // Taken out first, since the one that retires for it may push it out.
            let retired = self.0.retired.lock().take(key);
            if retired.is_none() && made.is_none() {
                drop(shard);
                made = Some(settings.make_conditions(&self.0.name, Some(key), &kin.who.policy)?);
                continue;
            }
            let has_room = shards.count_in(settings.live_max) || self.retire_one(&mut shard, &mut gone);
            let placed = has_room.then(|| self.place(&mut shard, hash, retired.as_ref(), &mut gone)).flatten();
            let Some(cell) = placed else {
                if let Some(retired) = retired {
                    self.0.retired.lock().put(key.into(), retired, settings, &mut gone);
                }
                drop(shard);
                if has_room {
                    shards.count_out();
                } else if attempts < ATTEMPTS_MAX && self.retire_elsewhere(hash, &mut gone, |shard| Some(shard.lock()))
                {
                    attempts += 1;
                    continue;
                }
                return Ok(self.0.overflow.clone());
            };
            let breaker = match retired {
                Some(Retired { at, conditions, trip_count, .. }) => {
                    let breaker = Breaker::new(kin, key.into(), cell, conditions);
                    breaker.comes_from(at, trip_count);
                    breaker
                }
                // It has just been made.
                None => Breaker::new(kin, key.into(), cell, made.take().unwrap_or(Held::empty())),
            };
            shard.put(hash, breaker.clone(), |key| shards.hash(key));
            return Ok(breaker);
        }
    }

    /// A place for one that is counted in, whose shard is locked; none where there is none, and none can be made.
    fn place(&self, shard: &mut Shard, hash: u64, retired: Option<&Retired>, gone: &mut Vec<Gone>) -> Option<Cell> {
        let Inner { kin, shards, .. } = &*self.0;
        for _ in 0..=MAKE_ROOM_MAX {
            let saved = retired.map(|retired| (Arc::clone(&retired.snapshot), retired.at));
            match kin.home.slots.place(&kin.who, shards.slot_of(hash), saved) {
                Ok(cell) => return Some(cell),
                // There is room for as many as may be at work; but a snapshot may be longer than what is kept free for one. Where it
                // doesn't fit beside the overflow breaker, nobody's leaving helps.
                Err(no_place) if no_place.fit <= 1 => return None,
                // That one was counted, and so is the one that comes.
                Err(_) if self.retire_one(shard, gone) => shards.count_out(),
                // Nobody waits for another shard while it holds one.
                Err(_) if self.retire_elsewhere(hash, gone, Mutex::try_lock) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Every key at work with its breaker, the last called first.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<str>, Breaker)> {
        let mut all: Vec<Breaker> = Vec::new();
        for shard in self.0.shards.all() {
            all.extend(shard.lock().iter().cloned());
        }
        all.sort_by_cached_key(|breaker| std::cmp::Reverse(breaker.latest()));
        all.into_iter().map(|breaker| (breaker.0.key.as_str().into(), breaker)).collect()
    }

    /// How many breakers are at work, and those of them that may refuse a call: all that aren't closed. Taken shard by shard,
    /// without a call of the component.
    pub(crate) fn standing(&self) -> (usize, Vec<Breaker>) {
        let (mut at_work, mut not_closed) = (0, Vec::new());
        for shard in self.0.shards.all() {
            for breaker in shard.lock().iter() {
                at_work += 1;
                if breaker.state() != State::Closed {
                    not_closed.push(breaker.clone());
                }
            }
        }
        (at_work, not_closed)
    }

    /// Hands the component what it doesn't know of yet.
    pub(super) fn catch_up(&self) {
        self.0.overflow.catch_up();
        for shard in self.0.shards.all() {
            let waiting: Vec<Breaker> = shard.lock().iter().filter(|breaker| breaker.is_waiting()).cloned().collect();
            waiting.iter().for_each(Breaker::catch_up);
        }
    }

    /// Retires a closed breaker of a shard that wasn't called for long and that nobody holds. Whether there was one.
    fn retire_one(&self, shard: &mut Shard, gone: &mut Vec<Gone>) -> bool {
        let Some((key, snapshot, at, trip_count, breaker)) = shard.retire_one() else { return false };
        let conditions = breaker.take_conditions();
        let retired = Retired { snapshot, at, conditions, trip_count };
        self.0.retired.lock().put(key, retired, &self.0.settings, gone);
        gone.push(Gone::Breaker(breaker));
        true
    }

    /// Retires a breaker of another shard than this key's, of those that are locked so. Whether there was one.
    fn retire_elsewhere(
        &self,
        hash: u64,
        gone: &mut Vec<Gone>,
        lock: impl Fn(&Mutex<Shard>) -> Option<MutexGuard<'_, Shard>>,
    ) -> bool {
        let Inner { shards, .. } = &*self.0;
        shards.others(hash).any(|shard| {
            let Some(mut shard) = lock(shard) else { return false };
            let retired = self.retire_one(&mut shard, gone);
            drop(shard);
            if retired {
                shards.count_out();
            }
            retired
        })
    }

    /// Takes buffers back from keys that don't use them, since another wants one.
    #[cold]
    fn take_buffers_back(&self) {
        let lendings = &self.0.kin.home.lendings;
        for _ in 0..LENT_ASKED {
            let Some(Lent { key, seen }) = lendings.next_to_ask() else { return };
            let hash = self.0.shards.hash(&key);
            let mut shard = self.0.shards.of(hash).lock();
            // Who isn't there any more has given it back.
            let Some(breaker) = shard.get_mut(hash, &key) else { continue };
            let latest = breaker.latest();
            let used = latest > seen;
            if !used {
                breaker.catch_up();
            }
            match triomphe::Arc::get_mut(&mut breaker.0).filter(|_| !used) {
                Some(shared) => shared.take_back(),
                None => lendings.ask_later(Lent { key, seen: latest }),
            }
        }
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("name", &self.0.name).field("live", &self.live()).finish_non_exhaustive()
    }
}
