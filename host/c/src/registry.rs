//! Registries: their settings, their breakers by name, what they tell as a whole.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use softfuse::Registry;

use crate::breaker::sf_breaker;
use crate::code::sf_code;
use crate::condition::{User, sf_condition, take};
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::policy::sf_policy;
use crate::settings::{builder, sf_registry_settings};
use crate::sized::{check, read_or_default, sized, write};
use crate::text::{bytes, cleared, give, text, text_or_empty};

/// Makes breakers and keeps them by name. Whoever got it frees it with `sf_registry_free`; breakers, policies and listeners that it
/// gave may live longer. Any threads, at once too.
pub struct sf_registry {
    pub(crate) inner: Registry,
}

/// Makes a registry. `settings` may be NULL for the defaults. It takes some milliseconds: the breaker component is compiled, or
/// found compiled in the cache.
///
/// `SF_NOT_LOADED`, `SF_UNREADABLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_new(
    settings: *const sf_registry_settings,
    registry: Option<&mut MaybeUninit<*mut sf_registry>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    let registry = cleared(registry);
    run(error, || {
        // SAFETY: by the header's rule of structs that are read.
        let given = unsafe { read_or_default(settings, "settings") }?;
        // First of all, so that it is freed whatever follows.
        let user = User { data: given.clock_user, free: given.clock_free };
        let registry = registry.ok_or_else(|| Fault::null("registry"))?;
        // SAFETY: by the header's rule of texts.
        let builder = unsafe { builder(&given, user) }?;
        *registry = Box::into_raw(Box::new(sf_registry { inner: builder.build()? }));
        Ok(())
    })
}

/// Frees a registry. What it gave lives on until it is freed itself. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_registry_free(registry: Option<Box<sf_registry>>) {
    ask((), || drop(registry));
}

/// The registry's clock, in nanoseconds from its origin. 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_registry_now(registry: Option<&sf_registry>) -> i64 {
    ask(0, || registry.map_or(0, |registry| registry.inner.now().as_nanos()))
}

/// The breaker of this name: the one that exists, or a new one with this policy. Two users of one name share one breaker. The
/// handle is the caller's, to be freed with `sf_breaker_free`; the breaker stays in the registry all the same.
///
/// `conditions` are the `condition_count` conditions of the caller's own that the policy names; NULL and 0 for none. They go over to
/// the library in any case; where the breaker exists, it has its own, and these are freed.
///
/// `SF_POLICY_DIFFERS`, `SF_CONDITIONS_DIFFER`, `SF_NAME_TAKEN`, `SF_NO_ROOM`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_breaker(
    registry: Option<&sf_registry>,
    name: *const c_char,
    policy: Option<&sf_policy>,
    conditions: *const sf_condition,
    condition_count: usize,
    breaker: Option<&mut MaybeUninit<*mut sf_breaker>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    let breaker = cleared(breaker);
    run(error, || {
        // SAFETY: by the header's rules of arrays and texts.
        let (conditions, name) = unsafe { (take(conditions, condition_count)?, text(name, "name")?) };
        let to = breaker.ok_or_else(|| Fault::null("breaker"))?;
        let policy = handle(policy, "policy")?;
        *to = sf_breaker::give(handle(registry, "registry")?.inner.breaker_with(name, &policy.inner, conditions)?);
        Ok(())
    })
}

/// Makes a breaker from the `length` bytes of a snapshot, of another process perhaps. `away_ns` is the time since the snapshot was
/// taken, by the wall clock. All else as in `sf_registry_breaker`.
///
/// `SF_NAME_TAKEN`, `SF_NOT_RESTORED`, `SF_CONDITIONS_DIFFER`, `SF_NO_ROOM`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_restore(
    registry: Option<&sf_registry>,
    name: *const c_char,
    policy: Option<&sf_policy>,
    conditions: *const sf_condition,
    condition_count: usize,
    snapshot: *const u8,
    length: usize,
    away_ns: u64,
    breaker: Option<&mut MaybeUninit<*mut sf_breaker>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    let breaker = cleared(breaker);
    run(error, || {
        // SAFETY: by the header's rules of arrays, texts and bytes.
        let (conditions, name, snapshot) =
            unsafe { (take(conditions, condition_count)?, text(name, "name")?, bytes(snapshot, length, "snapshot")?) };
        let to = breaker.ok_or_else(|| Fault::null("breaker"))?;
        let (registry, policy) = (handle(registry, "registry")?, handle(policy, "policy")?);
        let away = Duration::from_nanos(away_ns);
        *to = sf_breaker::give(registry.inner.restore(name, &policy.inner, conditions, snapshot, away)?);
        Ok(())
    })
}

/// The breaker of this name, if there is one. The handle is the caller's, to be freed with `sf_breaker_free`.
///
/// `SF_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_get(
    registry: Option<&sf_registry>,
    name: *const c_char,
    breaker: Option<&mut MaybeUninit<*mut sf_breaker>>,
) -> sf_code {
    run(None, || {
        let to = breaker.ok_or_else(|| Fault::null("breaker"))?.write(ptr::null_mut());
        // SAFETY: by the header's rule of texts.
        let name = unsafe { text(name, "name") }?;
        let found = handle(registry, "registry")?.inner.get(name);
        *to = sf_breaker::give(found.ok_or_else(|| Fault::new(sf_code::SF_NOT_FOUND, ""))?);
        Ok(())
    })
}

/// Every named breaker, by name: fills `breakers` with up to `capacity` handles, each the caller's, to be freed with
/// `sf_breaker_free`. `count` is how many breakers there are, which may be more; with a `capacity` of 0 that is all one learns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_list(
    registry: Option<&sf_registry>,
    breakers: *mut *mut sf_breaker,
    capacity: usize,
    count: Option<&mut MaybeUninit<usize>>,
) -> sf_code {
    run(None, || {
        let list = handle(registry, "registry")?.inner.list();
        // SAFETY: by the header's rule of arrays.
        unsafe { sf_breaker::give_list(list, breakers, capacity, count) }
    })
}

/// Forgets a breaker, or a family of keyed ones. Who holds it goes on using it; the name is free.
///
/// `SF_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_remove(registry: Option<&sf_registry>, name: *const c_char) -> sf_code {
    run(None, || {
        // SAFETY: by the header's rule of texts.
        let name = unsafe { text(name, "name") }?;
        let removed = handle(registry, "registry")?.inner.remove(name);
        if removed { Ok(()) } else { Err(Fault::new(sf_code::SF_NOT_FOUND, "")) }
    })
}

/// Resets every named breaker.
///
/// `SF_COMPONENT_FAILED`: the breakers before the one that failed are reset.
#[unsafe(no_mangle)]
pub extern "C" fn sf_registry_reset_all(
    registry: Option<&sf_registry>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || Ok(handle(registry, "registry")?.inner.reset_all()?))
}

/// All metrics, in the OpenMetrics text format, for the content type
/// `application/openmetrics-text; version=1.0.0; charset=utf-8`. The text is the caller's, to be freed with `sf_string_free`.
#[unsafe(no_mangle)]
pub extern "C" fn sf_registry_metrics(
    registry: Option<&sf_registry>,
    metrics: Option<&mut MaybeUninit<*mut c_char>>,
) -> sf_code {
    let metrics = cleared(metrics);
    run(None, || {
        let registry = handle(registry, "registry")?;
        give(metrics, "metrics", &registry.inner.metrics_text())
    })
}

/// A registry's health at this moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_health {
    /// `sizeof(sf_health)`, set by the caller.
    pub size: usize,
    /// 1 while fewer than half of the circuits would refuse a call now, or there are none.
    pub healthy: u32,
    /// The HTTP status for it: 200 where it is healthy, else 503.
    pub status_code: u32,
    /// Named circuits and keyed families.
    pub total: usize,
    /// Those of them that are available.
    pub available: usize,
}

sized!(sf_health);

/// The registry's health, as numbers into `health`, whose `size` the caller has set, and as JSON for a health page, into `json`: the
/// caller's, to be freed with `sf_string_free`. Either may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_health(
    registry: Option<&sf_registry>,
    health: *mut sf_health,
    json: Option<&mut MaybeUninit<*mut c_char>>,
) -> sf_code {
    let json = cleared(json);
    run(None, || {
        let found = handle(registry, "registry")?.inner.health();
        if !health.is_null() {
            let set = |out: &mut sf_health| {
                out.healthy = found.is_healthy().into();
                out.status_code = found.status_code().into();
                (out.total, out.available) = (found.total(), found.available());
            };
            // SAFETY: by the header's rule of structs that are filled.
            unsafe { write(health, "health", set) }?;
        }
        json.map_or(Ok(()), |json| give(Some(json), "json", &found.to_json()))
    })
}

/// What a hot upgrade did with the breakers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_replaced {
    /// `sizeof(sf_replaced)`, set by the caller.
    pub size: usize,
    /// Breakers that came along with their state.
    pub restored: usize,
    /// Breakers whose state the new component refuses: they come back from their last snapshots, or afresh.
    pub refused: usize,
    /// Breakers whose state the old component didn't give: they come back from their last snapshots.
    pub lost: usize,
}

sized!(sf_replaced);

/// Puts another breaker component in the place of the one at work: a newer build, from `length` bytes that `source_name` stands
/// for in messages. Every breaker comes along as it is, but for those that `replaced`, which may be NULL, counts otherwise.
///
/// `SF_NOT_LOADED`, `SF_COMPONENT_FAILED`: the old one is at work still, and nothing has changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_replace(
    registry: Option<&sf_registry>,
    source_name: *const c_char,
    component: *const u8,
    length: usize,
    replaced: *mut sf_replaced,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        // SAFETY: by the header's rules of texts and bytes.
        let (source_name, component) =
            unsafe { (text_or_empty(source_name, "source_name")?, bytes(component, length, "component")?) };
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { check(replaced, "replaced") }?;
        let report = handle(registry, "registry")?.inner.replace_component(source_name, component)?;
        if replaced.is_null() {
            return Ok(());
        }
        let set = |out: &mut sf_replaced| {
            out.restored = report.restored.len();
            (out.refused, out.lost) = (report.refused.len(), report.lost.len());
        };
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { write(replaced, "replaced", set) }
    })
}
