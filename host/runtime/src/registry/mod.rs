//! Breakers by name: made once, shared by everyone who names them.

mod builder;
mod keyed;
mod making;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

pub use builder::RegistryBuilder;
pub use keyed::{Keyed, KeyedSettings};
use making::{Making, check_room};

use crate::breaker::{Breaker, Home};
use crate::component::{self, Bounds, BreakerComponent};
use crate::condition::{Conditions, Held};
use crate::engine::{Engine, read_component};
use crate::error::{ComponentFailure, LoadError, PolicyError, RegistryError};
use crate::events::Subscription;
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
    bounds: Bounds,
    making: Mutex<Making>,
    breakers: Mutex<BTreeMap<Arc<str>, Entry>>,
}

enum Entry {
    Breaker(Breaker),
    Keyed(Keyed),
}

/// What a hot upgrade of the component did with the breakers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplaceReport {
    /// Breakers that came along with their state.
    pub restored: Vec<Arc<str>>,
    /// Breakers whose state the new component refuses, and why: they start afresh.
    pub refused: Vec<(Arc<str>, String)>,
}

/// Why a component was not replaced. The old one is at work still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The new one can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The new one failed at starting, or at taking the breakers over.
    #[error(transparent)]
    Failed(#[from] ComponentFailure),
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
        let bounds = making.component.bounds();
        let (making, breakers) = (Mutex::new(making), Mutex::default());
        Self(Arc::new(Inner { engine, home: Arc::new(home), salt, bounds, making, breakers }))
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
            None => self.insert(&mut breakers, name, policy, conditions, None),
        }
    }

    /// Makes a breaker from the snapshot of one, of another process perhaps. `away` is the time since the snapshot was
    /// taken, by the wall clock.
    ///
    /// # Errors
    /// Where the name is taken, the snapshot is damaged, or was taken under a policy of another meaning.
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
        let conditions = Held::new(&name, policy, conditions)?;
        let restored = self.0.home.slots.any().try_restore(policy, snapshot, now)?;
        restored.map_err(|reason| RegistryError::NotRestored { name: Arc::clone(&name), reason })?;
        let breaker = {
            let mut breakers = self.0.breakers.lock();
            if breakers.contains_key(&name) {
                return Err(RegistryError::NameTaken(name));
            }
            self.insert(&mut breakers, name, policy, conditions, Some((snapshot.into(), now - away)))?
        };
        // Without the lock, since a callback may want it.
        match breaker.status_at(now) {
            Ok(status) => {
                breaker.0.note(status.state, status.trip_count);
                Ok(breaker)
            }
            Err(failure) => {
                self.remove(breaker.name());
                Err(failure.into())
            }
        }
    }

    /// Makes a breaker of a name that is free.
    fn insert(
        &self,
        breakers: &mut BTreeMap<Arc<str>, Entry>,
        name: Arc<str>,
        policy: &Policy,
        conditions: Held,
        saved: Option<(Arc<[u8]>, Time)>,
    ) -> Result<Breaker, RegistryError> {
        if breakers.len() >= BREAKERS_MAX {
            return Err(RegistryError::TooMany { name, max: BREAKERS_MAX });
        }
        let named = breakers.values().filter_map(|entry| match entry {
            Entry::Breaker(breaker) => Some(breaker.policy().info().breaker_bytes),
            Entry::Keyed(_) => None,
        });
        let bytes = named.fold(policy.info().breaker_bytes, u64::saturating_add);
        check_room(&name, breakers.len() + 1, bytes, self.0.home.slots.windows_bytes_max(self.0.bounds))?;
        let mut cell = self.0.home.slots.place(Arc::clone(&name), policy.clone(), self.0.salt);
        if let Some((bytes, at)) = saved {
            cell.set_saved(bytes, at);
        }
        let breaker = Breaker::new(&self.0.home, cell, conditions, self.0.home.metrics.named(&name));
        breakers.insert(name, Entry::Breaker(breaker.clone()));
        Ok(breaker)
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
        let conditions = settings.make_conditions(name, policy)?;
        let breakers = settings.live_max.saturating_add(1);
        let bytes = policy.info().breaker_bytes.saturating_mul(breakers as u64);
        check_room(&name.into(), breakers, bytes, self.0.home.slots.windows_bytes_max(self.0.bounds))?;
        let home = self.0.making.lock().family_home(&self.0.home);
        let mut breakers = self.0.breakers.lock();
        // Another thread may have been first.
        if let Some(found) = existing(&breakers) {
            drop(breakers);
            return found;
        }
        let family = Keyed::new(&home, name, policy, settings, conditions, self.0.salt);
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

    /// Calls `callback` with every event, after the locks are released, one event at a time. What it panics with reaches no
    /// guarded call.
    pub fn on_event(&self, callback: impl Fn(&Event) + Send + Sync + 'static) {
        self.0.home.hub.on_event(Arc::new(callback));
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

    /// Puts another breaker component in the place of the one at work, without losing a record: a newer build, a user's own.
    ///
    /// # Errors
    /// Where it can't be loaded, or fails at taking the breakers over. The old one is at work still.
    pub fn replace_component(&self, source_name: &str, bytes: &[u8]) -> Result<ReplaceReport, ReplaceError> {
        // Held meanwhile, so that no family is made of the old one while the others change over.
        let mut making = self.0.making.lock();
        let component = BreakerComponent::load(&self.0.engine, source_name, bytes, self.0.bounds)?;
        let families: Vec<Arc<Home>> = making.families.iter().filter_map(Weak::upgrade).collect();
        let homes = families.iter().chain([&self.0.home]).map(|home| &home.slots);
        let replaced = component::replace(homes, &component)?;
        making.component = component;
        drop(making);
        Ok(ReplaceReport { restored: replaced.restored, refused: replaced.refused })
    }

    /// [`replace_component`](Self::replace_component), from a file.
    ///
    /// # Errors
    /// Where the file can't be read, and as [`replace_component`](Self::replace_component).
    pub fn replace_component_file(&self, path: impl AsRef<Path>) -> Result<ReplaceReport, ReplaceError> {
        let path = path.as_ref();
        self.replace_component(&path.display().to_string(), &read_component(path)?)
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
