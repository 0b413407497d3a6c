//! One breaker per key, bounded: those that nobody has used for long retire to a snapshot, and come back from it.

use std::fmt;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::breaker::{Breaker, Home};
use crate::component::{Cell, NoPlace};
use crate::condition::{Conditions, Held};
use crate::error::RegistryError;
use crate::metrics::BreakerMeters;
use crate::policy::Policy;
use crate::types::{State, Time};

/// The longest key: keys come from outside, and are kept.
const KEY_BYTES_MAX: usize = 1024;
/// How many of the breakers that were not used for longest are looked at for one that may retire. Those that may not, since
/// somebody holds them or they aren't closed, count as used now, so that the next call looks at others.
const RETIRE_LOOKS_MAX: usize = 1024;

/// How a keyed family is bounded.
pub struct KeyedSettings {
    /// Breakers at work at most. Default 10,000. A family's instances of the component must have room for as many with full
    /// windows, or there is no family: how many instances that are follows the machine's cores unless
    /// [`component_instances`](crate::RegistryBuilder::component_instances) says it, so say it where a family must fit on
    /// every machine alike. When a further one is wanted, the closed one that wasn't used for longest retires; one that isn't
    /// closed, or that somebody holds, never does. If none can, the overflow breaker serves.
    pub live_max: usize,
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
        Self { live_max: 10_000, retired_max: 100_000, retired_bytes_max: 64 << 20, conditions: None }
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
            .field("retired_max", &self.retired_max)
            .field("retired_bytes_max", &self.retired_bytes_max)
            .finish_non_exhaustive()
    }
}

/// A family of breakers: one policy, a breaker per key. Cheap to clone.
#[derive(Clone)]
pub struct Keyed(Arc<Inner>);

struct Inner {
    home: Arc<Home>,
    name: Arc<str>,
    policy: Policy,
    salt: u64,
    meters: Arc<BreakerMeters>,
    settings: KeyedSettings,
    overflow: Breaker,
    keys: Mutex<Keys>,
}

struct Keys {
    live: LruCache<Arc<str>, Breaker>,
    retired: LruCache<Arc<str>, Retired>,
    /// What the keys and snapshots of `retired` have.
    retired_bytes: usize,
}

/// What is left of a breaker that retired.
struct Retired {
    snapshot: Arc<[u8]>,
    at: Time,
    /// The host's own conditions are not in the snapshot.
    conditions: Held,
    trip_count: u64,
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
        let cell = home.slots.place(Arc::clone(&name), policy.clone(), salt, None)?;
        let meters = home.metrics.keyed(&name);
        let overflow = Breaker::new(home, cell, conditions, Arc::clone(&meters));
        let keys = Keys { live: LruCache::unbounded(), retired: LruCache::unbounded(), retired_bytes: 0 };
        let (home, policy, keys) = (Arc::clone(home), policy.clone(), Mutex::new(keys));
        Ok(Self(Arc::new(Inner { home, name, policy, salt, meters, settings, overflow, keys })))
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
        self.0.keys.lock().live.len()
    }

    /// Breakers that retired and are remembered.
    #[must_use]
    pub fn retired(&self) -> usize {
        self.0.keys.lock().retired.len()
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
        let mut made = None;
        loop {
            // Dropped after the lock, since conditions are the host's own code.
            let mut gone = Vec::new();
            let mut keys = self.0.keys.lock();
            if let Some(breaker) = keys.live.get(key) {
                return Ok(breaker.clone());
            }
            let new = !keys.retired.contains(key);
            if new && made.is_none() && self.0.settings.conditions.is_some() {
                drop(keys);
                made = Some(self.0.settings.make_conditions(&self.0.name, Some(key), &self.0.policy)?);
                continue;
            }
            // Taken out first, since the one that retires for it may push it out.
            let retired = keys.take_retired(key);
            if keys.live.len() >= self.0.settings.live_max.max(1) && !self.retire_one(&mut keys, &mut gone) {
                if let Some(retired) = retired {
                    keys.put_retired(key.into(), retired, &self.0.settings, &mut gone);
                }
                return Ok(self.0.overflow.clone());
            }
            let saved = retired.as_ref().map(|retired| (Arc::clone(&retired.snapshot), retired.at));
            let name: Arc<str> = format!("{}/{key}", self.0.name).into();
            let Ok(cell) = self.0.home.slots.place(name, self.0.policy.clone(), self.0.salt, saved) else {
                // There is room for as many as may be at work; but a snapshot may be longer than what is kept free for one.
                if let Some(retired) = retired {
                    keys.put_retired(key.into(), retired, &self.0.settings, &mut gone);
                }
                return Ok(self.0.overflow.clone());
            };
            let breaker = match (retired, made.take()) {
                (Some(retired), _) => self.make(cell, retired.conditions, retired.trip_count),
                (None, Some(conditions)) => self.make(cell, conditions, 0),
                (None, None) => self.make(cell, Held::new(&self.0.name, &self.0.policy, Conditions::new())?, 0),
            };
            keys.live.put(key.into(), breaker.clone());
            return Ok(breaker);
        }
    }

    fn make(&self, cell: Cell, conditions: Held, trip_count: u64) -> Breaker {
        let breaker = Breaker::new(&self.0.home, cell, conditions, Arc::clone(&self.0.meters));
        breaker.0.note(State::Closed, trip_count);
        breaker
    }

    /// Every key at work with its breaker, the last used first.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<str>, Breaker)> {
        self.0.keys.lock().live.iter().map(|(key, breaker)| (Arc::clone(key), breaker.clone())).collect()
    }

    /// Hands the component what it doesn't know of yet.
    pub(super) fn catch_up(&self) {
        self.0.overflow.catch_up();
        for (_, breaker) in self.list() {
            breaker.catch_up();
        }
    }

    /// Retires the closed breaker that wasn't used for longest and that nobody holds. Whether there was one.
    fn retire_one(&self, keys: &mut Keys, gone: &mut Vec<Gone>) -> bool {
        for _ in 0..RETIRE_LOOKS_MAX.min(keys.live.len()) {
            let Some((key, breaker)) = keys.live.peek_lru() else { return false };
            let key = Arc::clone(key);
            // Under the family's lock nobody can get hold of it, and nobody else has it.
            let free = Arc::strong_count(&breaker.0) == 1 && breaker.state() == State::Closed;
            let snapshot = if free { breaker.retire() } else { None };
            match snapshot {
                Some((snapshot, at, trip_count)) => {
                    if let Some(breaker) = keys.live.pop(&key) {
                        // At once: the one that is made instead of it needs the room.
                        breaker.leave();
                        let conditions = breaker.take_conditions();
                        let retired = Retired { snapshot, at, conditions, trip_count };
                        keys.put_retired(key, retired, &self.0.settings, gone);
                        gone.push(Gone::Breaker(breaker));
                    }
                    return true;
                }
                None => keys.live.promote(&key),
            };
        }
        false
    }
}

/// What left the family, to be dropped when its lock is free.
#[allow(dead_code, reason = "held to be dropped")]
enum Gone {
    Breaker(Breaker),
    Retired(Retired),
}

impl Keys {
    fn take_retired(&mut self, key: &str) -> Option<Retired> {
        let retired = self.retired.pop(key)?;
        self.retired_bytes -= key.len() + retired.snapshot.len();
        Some(retired)
    }

    /// Remembers one that retired, and forgets those for which there is no room any more.
    fn put_retired(&mut self, key: Arc<str>, retired: Retired, settings: &KeyedSettings, gone: &mut Vec<Gone>) {
        self.retired_bytes += key.len() + retired.snapshot.len();
        self.retired.put(key, retired);
        while self.retired.len() > settings.retired_max || self.retired_bytes > settings.retired_bytes_max {
            let Some((key, forgotten)) = self.retired.pop_lru() else { return };
            self.retired_bytes -= key.len() + forgotten.snapshot.len();
            gone.push(Gone::Retired(forgotten));
        }
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("name", &self.0.name).field("live", &self.live()).finish_non_exhaustive()
    }
}
