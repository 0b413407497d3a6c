//! A registry's settings.

use std::ffi::{c_char, c_void};
use std::ops::RangeInclusive;
use std::time::Duration;

use softfuse::{CacheDir, Clock, FailureMode, Registry, RegistryBuilder, Time};

use crate::condition::{User, sf_user_fn};
use crate::fault::Fault;
use crate::sized::sized;
use crate::text::path;

/// Where compiled code is kept, so that the next process needn't compile.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_cache {
    /// In the user's cache folder.
    SF_CACHE_DEFAULT = 0,
    /// In the folder `cache_dir`, which is made where it isn't there.
    SF_CACHE_DIR = 1,
    /// Nowhere.
    SF_CACHE_NONE = 2,
}

/// What happens to calls while the breaker component fails.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_failure_mode {
    /// They are admitted, unguarded: a breaker that is broken harms nobody.
    SF_FAIL_OPEN = 0,
    /// They are refused.
    SF_FAIL_CLOSED = 1,
}

/// Says what time it is, in nanoseconds from an origin of its own, and never runs backwards. Any threads, at once too. It must
/// return: no `longjmp`, no exception through it.
pub type sf_clock_fn = Option<unsafe extern "C" fn(user: *mut c_void) -> i64>;

/// A registry's settings. All zeros but `size` are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_registry_settings {
    /// `sizeof(sf_registry_settings)`, set by the caller.
    pub size: usize,
    /// The clock; NULL for the system's monotonic clock. One that is set by hand makes tests exact.
    pub clock: sf_clock_fn,
    /// What the clock is called with.
    pub clock_user: *mut c_void,
    /// Called with `clock_user` once, when the clock won't be asked any more: after the registry and all that it gave are freed, or
    /// at once where there will be no registry. NULL, where there is nothing to free.
    pub clock_free: sf_user_fn,
    /// Where compiled code is kept, an `sf_cache`.
    pub cache: i32,
    /// What happens to calls while the breaker component fails, an `sf_failure_mode`.
    pub failure_mode: i32,
    /// With `SF_CACHE_DIR`: the folder's path.
    pub cache_dir: *const c_char,
    /// A file with another breaker component in the place of the one that comes with the library; NULL for that.
    pub component_file: *const c_char,
    /// Instances of the component, over which breakers are spread: up to 256; 0 for as many as there are cores.
    pub instances: u32,
    /// Not 0: `salt` is given.
    pub has_salt: u32,
    /// Seeds the jitter beside a policy's seed and a breaker's name, so that replicas differ. Where it isn't given, a number of the
    /// process's own.
    pub salt: u64,
    /// Not 0: `lease_after` is given.
    pub has_lease_after: u32,
    /// After how many calls a breaker is busy enough for a buffer of some KiB for each core, by which its calls cost a tenth.
    /// Where it isn't given, 16; 65535 and more: never.
    pub lease_after: u32,
    /// Events that may wait, for callbacks while one is slow; 0 for 1024. Beyond, they are dropped and counted.
    pub event_capacity: u32,
    /// For later versions: 0.
    pub reserved: u32,
    /// How long the breaker component may take for one call, in nanoseconds, which takes it microseconds; 0 for 2 s. Between 10 ms
    /// and 5 s.
    pub component_deadline_ns: u64,
    /// Bytes of memory that one instance of the component may have; 0 for 256 MiB. A breaker takes some KiB: `sf_policy_info`.
    pub component_memory_bytes_max: usize,
    /// After how many records of a breaker a snapshot of it is taken, from which it comes back where the component fails; 0 for 256.
    pub snapshot_every: u64,
    /// The shortest time between two such snapshots of a breaker, in nanoseconds, by the registry's clock; 0 for 1 s. A change of
    /// state is saved at once.
    pub snapshot_interval_ns: u64,
}
sized!(sf_registry_settings);

struct CClock {
    now: unsafe extern "C" fn(*mut c_void) -> i64,
    user: User,
}

impl Clock for CClock {
    fn now(&self) -> Time {
        // SAFETY: the header asks that it is such a function, for any thread.
        Time::from_nanos(unsafe { (self.now)(self.user.data) })
    }
}

/// What makes a registry with these settings; `user` is what the clock is called with.
///
/// # Safety
/// By the header's rule of texts, for those in the settings; the clock is such a function.
pub(crate) unsafe fn builder(given: &sf_registry_settings, user: User) -> Result<RegistryBuilder, Fault> {
    let mut builder = Registry::builder();
    if let Some(now) = given.clock {
        builder = builder.clock(CClock { now, user });
    }
    // SAFETY: by the header's rule of texts.
    builder = builder.cache(unsafe { cache(given.cache, given.cache_dir) }?);
    builder = match given.failure_mode {
        mode if mode == sf_failure_mode::SF_FAIL_OPEN as i32 => builder.failure_mode(FailureMode::Open),
        mode if mode == sf_failure_mode::SF_FAIL_CLOSED as i32 => builder.failure_mode(FailureMode::Closed),
        other => {
            let text = format!("`settings->failure_mode` is {other}, which is no sf_failure_mode");
            return Err(Fault::argument(&text));
        }
    };
    if !given.component_file.is_null() {
        // SAFETY: by the header's rule of texts.
        builder = builder.component_file(unsafe { path(given.component_file, "settings->component_file") }?);
    }
    if given.instances > 256 {
        let text = format!("`settings->instances` is {}, and may be up to 256", given.instances);
        return Err(Fault::argument(&text));
    }
    if given.instances > 0 {
        builder = builder.component_instances(given.instances as usize);
    }
    if given.has_salt != 0 {
        builder = builder.salt(given.salt);
    }
    builder = bounded(builder, given)?;
    if given.has_lease_after != 0 {
        builder = builder.lease_after(given.lease_after);
    }
    if given.event_capacity > 0 {
        builder = builder.event_capacity(given.event_capacity as usize);
    }
    Ok(builder)
}

/// The component's bounds, and how often breakers are saved.
fn bounded(mut builder: RegistryBuilder, given: &sf_registry_settings) -> Result<RegistryBuilder, Fault> {
    const DEADLINES_NS: RangeInclusive<u64> = 10_000_000..=5_000_000_000;
    match given.component_deadline_ns {
        0 => {}
        deadline if DEADLINES_NS.contains(&deadline) => {
            builder = builder.component_deadline(Duration::from_nanos(deadline));
        }
        other => {
            let text = format!("`settings->component_deadline_ns` is {other}, and may be from 10 ms to 5 s");
            return Err(Fault::argument(&text));
        }
    }
    if given.component_memory_bytes_max > 0 {
        builder = builder.component_memory_bytes_max(given.component_memory_bytes_max);
    }
    if given.snapshot_every > 0 {
        builder = builder.snapshot_every(given.snapshot_every);
    }
    if given.snapshot_interval_ns > 0 {
        builder = builder.snapshot_interval(Duration::from_nanos(given.snapshot_interval_ns));
    }
    Ok(builder)
}

/// # Safety
/// By the header's rule of texts, for `dir`.
pub(crate) unsafe fn cache(cache: i32, dir: *const c_char) -> Result<CacheDir, Fault> {
    const DEFAULT: i32 = sf_cache::SF_CACHE_DEFAULT as i32;
    const DIR: i32 = sf_cache::SF_CACHE_DIR as i32;
    const NONE: i32 = sf_cache::SF_CACHE_NONE as i32;
    match cache {
        DEFAULT => Ok(CacheDir::Default),
        // SAFETY: as this function asks.
        DIR => Ok(CacheDir::Dir(unsafe { path(dir, "settings->cache_dir") }?)),
        NONE => Ok(CacheDir::None),
        other => Err(Fault::argument(&format!("`settings->cache` is {other}, which is no sf_cache"))),
    }
}
