//! Breakers by name: made once, shared by everyone who names them.

mod builder;
mod keyed;
mod making;
mod replacing;
mod retired;
mod shards;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use builder::RegistryBuilder;
pub use keyed::{Keyed, KeyedSettings};
use making::{Making, no_room};
pub use replacing::{ReplaceError, ReplaceReport};

use crate::breaker::{Breaker, Home, Kin};
use crate::component::{Cell, Who, snapshot_bytes_max};
use crate::condition::{Conditions, Held};
use crate::engine::Engine;
use crate::error::{ComponentFailure, LoadError, PolicyError, RegistryError, RestoreError};
use crate::events::{Listener, Subscription};
use crate::policy::Policy;
use crate::types::{Event, Time};

/// Named breakers of a registry. More would be one per tenant, for which there is [`Registry::keyed`].
const BREAKERS_MAX: usize = 10_000;

/// Makes breakers and keeps them by name. Cheap to clone; all clones are one registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    engine: Engine,
    home: Arc<Home>,
    salt: u64,
    making: Mutex<Making>,
    breakers: Mutex<BTreeMap<Arc<str>, Entry>>,
}

enum Entry {
    Breaker(Breaker),
    Keyed(Keyed),
}

impl Registry {
    /// A registry with the defaults: the breaker component that comes with the library, compiled code kept in the user's
    /// cache folder, the system's clock.
    ///
    /// # Errors
    /// Where this machine can't run WebAssembly.
    pub fn new() -> Result<Self, LoadError> {
        Self::builder().build()
    }

    /// Begins a registry with settings of its own.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    fn from_parts(engine: Engine, home: Home, making: Making, salt: u64) -> Self {
        let (making, breakers) = (Mutex::new(making), Mutex::default());
        Self(Arc::new(Inner { engine, home: Arc::new(home), salt, making, breakers }))
    }

    /// What its components run on: scorers may share it.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Its clock, now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.home.clock.now()
    }

    /// Loads a policy from text (TOML). `source_name` stands in messages for where it comes from.
    ///
    /// # Errors
    /// Everything that is wrong with the text, at once, with lines and columns.
    pub fn policy(&self, source_name: &str, text: &str) -> Result<Policy, PolicyError> {
        Policy::load(self.0.home.slots.any(), source_name, text)
    }

    /// Loads a policy from a file.
    ///
    /// # Errors
    /// Where the file can't be read, and everything that is wrong with its text, at once, with lines and columns.
    pub fn policy_file(&self, path: impl AsRef<Path>) -> Result<Policy, PolicyError> {
        Policy::load_file(self.0.home.slots.any(), path.as_ref())
    }

    /// The breaker of this name: the one that exists, or a new one. Two users of one name share one breaker.
    ///
    /// # Errors
    /// Where it exists with a policy of another meaning; where the policy names conditions of the host's own.
    pub fn breaker(&self, name: &str, policy: &Policy) -> Result<Breaker, RegistryError> {
        self.breaker_with(name, policy, Conditions::new())
    }

    /// [`breaker`](Self::breaker), with the host's own conditions that its policy names. Where the breaker exists already
    /// it has its conditions, and these are dropped.
    ///
    /// # Errors
    /// As [`breaker`](Self::breaker); where a condition is missing, or isn't named by the policy.
    pub fn breaker_with(&self, name: &str, policy: &Policy, conditions: Conditions) -> Result<Breaker, RegistryError> {
        match self.0.breakers.lock().get(name) {
            Some(Entry::Breaker(breaker)) => return same_policy(breaker.clone(), policy),
            Some(Entry::Keyed(_)) => return Err(RegistryError::NameTaken(name.into())),
            None => {}
        }
        // Matched without the lock, since conditions are the host's own code, their dropping too.
        let name: Arc<str> = name.into();
        let conditions = Held::new(&name, policy, conditions)?;
        let mut breakers = self.0.breakers.lock();
        match breakers.get(&name) {
            // Another thread was first.
            Some(Entry::Breaker(breaker)) => {
                let breaker = breaker.clone();
                drop(breakers);
                same_policy(breaker, policy)
            }
            Some(Entry::Keyed(_)) => Err(RegistryError::NameTaken(name)),
            None => {
                let who = self.who(policy);
                let cell = self.place(&breakers, &name, &who, None)?;
                Ok(self.insert(&mut breakers, name, who, cell, conditions))
            }
        }
    }

    /// Makes a breaker from the snapshot of one, of another process perhaps. `away` is the time since the snapshot was
    /// taken, by the wall clock.
    ///
    /// # Errors
    /// Where the name is taken; where there is no room; where the snapshot is too long for this policy, is damaged, makes the
    /// component fail, or was taken under a policy of another meaning. It is tried in an instance of its own, so that it harms
    /// no breaker.
    pub fn restore(
        &self,
        name: &str,
        policy: &Policy,
        conditions: Conditions,
        snapshot: &[u8],
        away: Duration,
    ) -> Result<Breaker, RegistryError> {
        self.restore_at(name, policy, conditions, snapshot, away, self.now())
    }

    /// [`restore`](Self::restore), at `now`.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_at(
        &self,
        name: &str,
        policy: &Policy,
        conditions: Conditions,
        snapshot: &[u8],
        away: Duration,
        now: Time,
    ) -> Result<Breaker, RegistryError> {
        let name: Arc<str> = name.into();
        if self.0.breakers.lock().contains_key(&name) {
            return Err(RegistryError::NameTaken(name));
        }
        let not_restored = |reason| RegistryError::NotRestored { name: Arc::clone(&name), reason };
        let (bytes, max) = (snapshot.len() as u64, snapshot_bytes_max(policy));
        if bytes > max {
            return Err(not_restored(RestoreError::TooLong { bytes, max }));
        }
        let conditions = Held::new(&name, policy, conditions)?;
        let snapshot: Arc<[u8]> = snapshot.into();
        let slots = &self.0.home.slots;
        let who = self.who(policy);
        let mut cell = self.place(&self.0.breakers.lock(), &name, &who, Some((Arc::clone(&snapshot), now - away)))?;
        let tried = match slots.try_restore(policy, &snapshot, now) {
            Ok(restored) => restored.map_err(not_restored),
            Err(failure) => Err(failure.into()),
        };
        if let Err(error) = tried {
            slots.unseat(&mut cell, &who);
            return Err(error);
        }
        let breaker = {
            let mut breakers = self.0.breakers.lock();
            if breakers.contains_key(&name) {
                slots.unseat(&mut cell, &who);
                return Err(RegistryError::NameTaken(name));
            }
            self.insert(&mut breakers, name, who, cell, conditions)
        };
        // Without the lock, since a callback may want it.
        match breaker.0.learn(now) {
            Ok(()) => Ok(breaker),
            Err(failure) => {
                self.remove(breaker.name());
                Err(failure.into())
            }
        }
    }

    /// A place for a breaker of a name that is free.
    fn place(
        &self,
        breakers: &BTreeMap<Arc<str>, Entry>,
        name: &Arc<str>,
        who: &Who,
        saved: Option<(Arc<[u8]>, Time)>,
    ) -> Result<Cell, RegistryError> {
        if breakers.len() >= BREAKERS_MAX {
            return Err(RegistryError::TooMany { name: Arc::clone(name), max: BREAKERS_MAX });
        }
        let placed = self.0.home.slots.place(who, None, saved);
        placed.map_err(|no_place| {
            let named = breakers.values().filter(|entry| matches!(entry, Entry::Breaker(_))).count();
            no_room(name, named + 1, no_place)
        })
    }

    fn who(&self, policy: &Policy) -> Who {
        Who { policy: policy.clone(), family: None, salt: self.0.salt }
    }

    /// Makes a breaker of a name that is free.
    fn insert(
        &self,
        breakers: &mut BTreeMap<Arc<str>, Entry>,
        name: Arc<str>,
        who: Who,
        cell: Cell,
        conditions: Held,
    ) -> Breaker {
        let home = Arc::clone(&self.0.home);
        let kin = Arc::new(Kin { meters: home.metrics.named(&name), home, who });
        let breaker = Breaker::new(&kin, (&*name).into(), cell, conditions);
        breakers.insert(name, Entry::Breaker(breaker.clone()));
        breaker
    }

    /// One breaker per key, a tenant perhaps, all with one policy. The family has a name, which its breakers share in
    /// metrics. Asked for again, it is the one that exists.
    ///
    /// # Errors
    /// Where the name is taken by a breaker, or by a family with a policy of another meaning; where the policy names
    /// conditions of the host's own that `settings` doesn't make.
    pub fn keyed(&self, name: &str, policy: &Policy, settings: KeyedSettings) -> Result<Keyed, RegistryError> {
        let existing = |breakers: &BTreeMap<Arc<str>, Entry>| match breakers.get(name) {
            Some(Entry::Keyed(family)) => Some(same_policy(family.overflow().clone(), policy).map(|_| family.clone())),
            Some(Entry::Breaker(_)) => Some(Err(RegistryError::NameTaken(name.into()))),
            None => None,
        };
        if let Some(found) = existing(&self.0.breakers.lock()) {
            return found;
        }
        // Made without the lock, since conditions are the host's own code.
        let conditions = settings.make_conditions(name, None, policy)?;
        let home = self.0.making.lock().family_home(&self.0.home, &settings);
        // Those at work, and the overflow breaker.
        let count = settings.live_max.max(1).saturating_add(1);
        let no_room = |no_place| no_room(&name.into(), count, no_place);
        home.slots.check_room(policy, count).map_err(no_room)?;
        let mut breakers = self.0.breakers.lock();
        // Another thread may have been first.
        if let Some(found) = existing(&breakers) {
            drop(breakers);
            return found;
        }
        let family = Keyed::new(&home, name, policy, settings, conditions, self.0.salt).map_err(no_room)?;
        breakers.insert(name.into(), Entry::Keyed(family.clone()));
        Ok(family)
    }

    /// The breaker of this name, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Breaker> {
        match self.0.breakers.lock().get(name) {
            Some(Entry::Breaker(breaker)) => Some(breaker.clone()),
            _ => None,
        }
    }

    /// Every named breaker, by name; those of keyed families not among them.
    #[must_use]
    pub fn list(&self) -> Vec<Breaker> {
        let breakers = self.0.breakers.lock();
        let named = breakers.values().filter_map(|entry| match entry {
            Entry::Breaker(breaker) => Some(breaker.clone()),
            Entry::Keyed(_) => None,
        });
        named.collect()
    }

    /// Every keyed family, by name.
    #[must_use]
    pub fn list_keyed(&self) -> Vec<Keyed> {
        let breakers = self.0.breakers.lock();
        let keyed = breakers.values().filter_map(|entry| match entry {
            Entry::Keyed(family) => Some(family.clone()),
            Entry::Breaker(_) => None,
        });
        keyed.collect()
    }

    /// Forgets a breaker or a family. Who holds it goes on using it; the name is free. Whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let mut breakers = self.0.breakers.lock();
        let removed = breakers.remove(name);
        if removed.is_some() {
            self.0.home.metrics.end(name);
        }
        // Before what was removed is dropped: conditions are the host's own code.
        drop(breakers);
        removed.is_some()
    }

    /// Resets every named breaker.
    ///
    /// # Errors
    /// Where the component fails; the breakers before it are reset.
    pub fn reset_all(&self) -> Result<(), ComponentFailure> {
        for breaker in self.list() {
            breaker.reset()?;
        }
        Ok(())
    }

    /// Calls `callback` with every event, after the locks are released, one event at a time: on the thread that made the event,
    /// or on a thread of the registry's own where several make some. What it panics with reaches no guarded call.
    pub fn on_event(&self, callback: impl Fn(&Event) + Send + Sync + 'static) {
        let _ = self.0.home.hub.on_event(Arc::new(callback));
    }

    /// [`on_event`](Self::on_event), until the listener is dropped.
    pub fn listen(&self, callback: impl Fn(&Event) + Send + Sync + 'static) -> Listener {
        self.0.home.hub.listen(Arc::new(callback))
    }

    /// A stream of all events from now on, bounded by the registry's event capacity.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.0.home.hub.subscribe()
    }

    /// All metrics, in the OpenMetrics text format, as [`METRICS_CONTENT_TYPE`](crate::METRICS_CONTENT_TYPE) says.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        for breaker in self.list() {
            breaker.catch_up();
        }
        for family in self.list_keyed() {
            family.catch_up();
        }
        self.0.home.metrics.text()
    }

    /// What the breaker component at work is called: a file's path, or what it was named.
    #[must_use]
    pub fn component_name(&self) -> Arc<str> {
        Arc::clone(self.0.making.lock().component.source_name())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("breakers", &self.0.breakers.lock().len()).finish_non_exhaustive()
    }
}

/// The breaker, if its policy means the same.
fn same_policy(breaker: Breaker, policy: &Policy) -> Result<Breaker, RegistryError> {
    if breaker.policy().info().fingerprint == policy.info().fingerprint {
        return Ok(breaker);
    }
    Err(RegistryError::PolicyDiffers {
        name: Arc::clone(breaker.name()),
        existing: Arc::clone(breaker.policy().source_name()),
        requested: Arc::clone(policy.source_name()),
    })
}
