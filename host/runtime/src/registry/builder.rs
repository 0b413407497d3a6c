//! A registry's settings, each with its default and its bound.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use super::making::Making;
use crate::breaker::{FailureMode, Home, Lendings};
use crate::clock::{Clock, RegistryClock};
use crate::component::{Bounds, BreakerComponent, RestSettings};
use crate::components::Binary;
use crate::engine::{CacheDir, Engine, read_component};
use crate::error::LoadError;
use crate::events::{Callback, Hub};
use crate::metrics::Metrics;
use crate::types::Event;

/// The longest deadline that the component may have: the ticker rests after a little more than that.
const DEADLINE_MAX: Duration = Duration::from_secs(5);

/// Instances of the component that a registry or a keyed family may have at most.
pub(super) const INSTANCES_MAX: usize = 256;

/// Settings of a [`Registry`].
#[must_use]
pub struct RegistryBuilder {
    engine: Option<Engine>,
    cache: CacheDir,
    component: Source,
    clock: Option<RegistryClock>,
    salt: Option<u64>,
    failure_mode: FailureMode,
    snapshot_every: u64,
    snapshot_interval: Duration,
    lease_after: u32,
    event_capacity: usize,
    bounds: Bounds,
    instances: Option<usize>,
    rest: RestSettings,
    callbacks: Vec<Callback>,
}

enum Source {
    Embedded,
    Bytes(String, Vec<u8>),
    File(PathBuf),
}

impl Default for RegistryBuilder {
    fn default() -> Self {
        Self {
            engine: None,
            cache: CacheDir::Default,
            component: Source::Embedded,
            clock: None,
            salt: None,
            failure_mode: FailureMode::Open,
            snapshot_every: 256,
            snapshot_interval: Duration::from_secs(1),
            lease_after: 16,
            event_capacity: 1024,
            bounds: Bounds { deadline: Duration::from_secs(2), memory_bytes_max: 256 << 20 },
            instances: None,
            rest: RestSettings {
                failures_max: 5,
                within: Duration::from_secs(60),
                rest: Duration::from_secs(1),
                rest_max: Duration::from_secs(300),
            },
            callbacks: Vec::new(),
        }
    }
}

impl RegistryBuilder {
    /// What components run on, where several registries share it. Default: an engine of its own.
    pub fn engine(mut self, engine: &Engine) -> Self {
        self.engine = Some(engine.clone());
        self
    }

    /// Where compiled code is kept; not looked at where an engine is given. Default: [`CacheDir::Default`].
    pub fn cache(mut self, cache: CacheDir) -> Self {
        self.cache = cache;
        self
    }

    /// A breaker component in the place of the one that comes with the library: a newer build, a user's own.
    pub fn component_bytes(mut self, source_name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.component = Source::Bytes(source_name.to_owned(), bytes.into());
        self
    }

    /// The same, from a file.
    pub fn component_file(mut self, path: impl AsRef<Path>) -> Self {
        self.component = Source::File(path.as_ref().to_owned());
        self
    }

    /// The clock. Default: [`SystemClock`](crate::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(RegistryClock::Own(Arc::new(clock)));
        self
    }

    /// Seeds the jitter beside a policy's seed and a breaker's name, so that replicas differ. Default: a number of this
    /// process's own, so that a run can be repeated only where it is set.
    pub fn salt(mut self, salt: u64) -> Self {
        self.salt = Some(salt);
        self
    }

    /// What happens to calls while the component fails. Default: [`FailureMode::Open`].
    pub fn failure_mode(mut self, mode: FailureMode) -> Self {
        self.failure_mode = mode;
        self
    }

    /// After how many records of a breaker a snapshot of it is taken, besides the one after each change of its state; but see
    /// [`snapshot_interval`](Self::snapshot_interval). Default 256; at least 1.
    pub fn snapshot_every(mut self, records: u64) -> Self {
        self.snapshot_every = records.max(1);
        self
    }

    /// How long, at least, lies between two such snapshots of a busy breaker: what comes meanwhile can be lost when the
    /// component fails. Default 1 s, on the registry's clock.
    pub fn snapshot_interval(mut self, interval: Duration) -> Self {
        self.snapshot_interval = interval;
        self
    }

    /// After how many calls a breaker is busy enough for a buffer of some KiB for each core, in which benign outcomes wait to
    /// be recorded together, where the component has said that no decision can depend on them. Default 16; 65,535 and more:
    /// never. A keyed family lends [`lent_max`](crate::KeyedSettings::lent_max) at once, to keys that were called so often of
    /// late.
    pub fn lease_after(mut self, calls: u32) -> Self {
        self.lease_after = calls;
        self
    }

    /// Events that may wait: for callbacks while one is slow, and for each subscriber. Default 1024; at least 1. Beyond,
    /// they are dropped and counted.
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events.max(1);
        self
    }

    /// How long the component may take for one call; it takes microseconds. Default 2 s; between 10 ms and 5 s.
    pub fn component_deadline(mut self, deadline: Duration) -> Self {
        self.bounds.deadline = deadline.clamp(Duration::from_millis(10), DEADLINE_MAX);
        self
    }

    /// Memory that one instance of the component may have. Default 256 MiB; a breaker with a window of 100 calls takes some
    /// KiB. An eighth is the component's own, beside what it begins with, and one breaker's snapshot must fit beside them all.
    pub fn component_memory_bytes_max(mut self, bytes: usize) -> Self {
        self.bounds.memory_bytes_max = bytes;
        self
    }

    /// Instances of the component over which the named breakers are spread, and as many for each keyed family: breakers of
    /// different instances are asked at the same time, and one that fails leaves the others alone. Default: as many as the
    /// machine has cores, and four times as many for a family of 1,024 keys or more; between 1 and 256. Each is made when its first
    /// breaker is used. How many breakers there is room for follows their number: set it, where a keyed family that fits on one
    /// machine must fit on another with fewer cores.
    pub fn component_instances(mut self, instances: usize) -> Self {
        self.instances = Some(instances.clamp(1, INSTANCES_MAX));
        self
    }

    /// When a component that fails again and again is let rest: after `failures_max` failures (default 5) within `within`
    /// (default 60 s), for `rest` at first (default 1 s) and twice as long each time, up to `rest_max` (default 5 min).
    /// Meanwhile calls are admitted or refused as the failure mode says.
    pub fn component_rest(mut self, failures_max: u32, within: Duration, rest: Duration, rest_max: Duration) -> Self {
        self.rest = RestSettings { failures_max: failures_max.max(1), within, rest, rest_max: rest_max.max(rest) };
        self
    }

    /// Calls `callback` with every event; see [`Registry::on_event`].
    pub fn on_event(mut self, callback: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.callbacks.push(Arc::new(callback));
        self
    }

    /// Loads the component and makes the registry.
    ///
    /// # Errors
    /// Where the component's file can't be read, is no breaker component, or this machine can't run one.
    pub fn build(self) -> Result<Registry, LoadError> {
        let engine = match self.engine {
            Some(engine) => engine,
            None => Engine::new(self.cache)?,
        };
        let load = |name: &str, binary| BreakerComponent::load(&engine, name, binary, self.bounds);
        let component = match self.component {
            Source::Embedded => load("softfuse-breaker", Binary::BREAKER),
            Source::Bytes(name, bytes) => load(&name, bytes.as_slice().into()),
            Source::File(path) => load(&path.display().to_string(), read_component(&path)?.as_slice().into()),
        }?;
        let clock = self.clock.unwrap_or_default();
        let hub = Hub::new(self.event_capacity, self.callbacks);
        let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(INSTANCES_MAX);
        let metrics = Metrics::new(Arc::clone(hub.dropped()), cores());
        let making =
            Making { component, instances: self.instances, cores: cores(), rest: self.rest, families: Vec::new() };
        let home = Home {
            slots: making.slots(&clock, &metrics),
            clock,
            hub: Arc::new(hub),
            metrics: Arc::new(metrics),
            failure_mode: self.failure_mode,
            snapshot_every: self.snapshot_every,
            snapshot_interval: self.snapshot_interval,
            lease_after: self.lease_after,
            cores: cores(),
            lendings: Lendings::new(super::BREAKERS_MAX),
        };
        Ok(Registry::from_parts(engine, home, making, self.salt.unwrap_or_else(own_salt)))
    }
}

impl fmt::Debug for RegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryBuilder").field("failure_mode", &self.failure_mode).finish_non_exhaustive()
    }
}

/// A number that differs between processes.
fn own_salt() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
