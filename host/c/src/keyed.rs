//! Families of breakers: one policy, a breaker per key.

use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;

use softfuse::{Conditions, Keyed, KeyedSettings};

use crate::breaker::sf_breaker;
use crate::code::sf_code;
use crate::condition::{User, sf_condition, sf_user_fn, take};
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::policy::sf_policy;
use crate::registry::sf_registry;
use crate::sized::{read_or_default, sized, write};
use crate::text::{cleared, owned, text};

/// A family of breakers: one per key, a tenant perhaps. Whoever got it frees it with `sf_keyed_free`; the family stays in its registry.
/// Any threads, at once too.
pub struct sf_keyed {
    inner: Keyed,
}

/// Makes the conditions of the caller's own for a key, where the policy names some: fills `conditions`, whose `size` is set, in
/// the policy's order (their names may be left NULL, and are then the policy's), and returns how many it has filled. It is called
/// under no lock, by any threads, at once too, and must return: no `longjmp`, no exception through it.
pub type sf_make_conditions_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        key: *const c_char,
        conditions: *mut sf_condition,
        capacity: usize,
    ) -> usize,
>;

/// How a family is bounded. All zeros but `size` are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_keyed_settings {
    /// `sizeof(sf_keyed_settings)`, set by the caller.
    pub size: usize,
    /// Breakers at work at most; 0 for 10,000. When a further one is wanted, a closed one that wasn't called for long retires to a
    /// snapshot. If none can, the overflow breaker serves.
    pub live_max: usize,
    /// Buffers that busy keys are lent at once; 0 for 1,024.
    pub lent_max: usize,
    /// Snapshots of retired ones that are kept; 0 for 100,000. Beyond, the one that wasn't used for longest is forgotten.
    pub retired_max: usize,
    /// Bytes that those snapshots and their keys may have together; 0 for 64 MiB.
    pub retired_bytes_max: usize,
    /// Makes a key's conditions; NULL where the policy names none.
    pub make_conditions: sf_make_conditions_fn,
    /// What it is called with.
    pub user: *mut c_void,
    /// Called with `user` once, when nobody makes conditions any more; at once, where there will be no family. NULL, where there is
    /// nothing to free.
    pub free_user: sf_user_fn,
}

sized!(sf_keyed_settings);

/// Conditions that a policy may name: as many as a key's are asked for.
const CONDITIONS_MAX: usize = 64;

/// A family of this name: the one that exists, or a new one. `settings` may be NULL for the defaults. The name is one of the
/// registry's, which its breakers share in metrics.
///
/// `SF_NAME_TAKEN`, `SF_POLICY_DIFFERS`, `SF_CONDITIONS_DIFFER`, `SF_NO_ROOM`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_keyed(
    registry: Option<&sf_registry>,
    name: *const c_char,
    policy: Option<&sf_policy>,
    settings: *const sf_keyed_settings,
    keyed: Option<&mut MaybeUninit<*mut sf_keyed>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    let keyed = cleared(keyed);
    run(error, || {
        // SAFETY: by the header's rule of structs that are read.
        let given = unsafe { read_or_default(settings, "settings") }?;
        // First of all, so that it is freed whatever follows.
        let user = User { data: given.user, free: given.free_user };
        let to = keyed.ok_or_else(|| Fault::null("keyed"))?;
        // SAFETY: by the header's rule of texts.
        let name = unsafe { text(name, "name") }?;
        let policy = handle(policy, "policy")?;
        let mut used = KeyedSettings::default();
        let set = |given: usize, to: &mut usize| {
            if given > 0 {
                *to = given;
            }
        };
        set(given.live_max, &mut used.live_max);
        set(given.lent_max, &mut used.lent_max);
        set(given.retired_max, &mut used.retired_max);
        set(given.retired_bytes_max, &mut used.retired_bytes_max);
        if let Some(make) = given.make_conditions {
            let names = policy.inner.info().host_conditions.clone();
            used.conditions = Some(Arc::new(move |key| conditions(make, &user, key, &names)));
        }
        *to = Box::into_raw(Box::new(sf_keyed {
            inner: handle(registry, "registry")?.inner.keyed(name, &policy.inner, used)?,
        }));
        Ok(())
    })
}

/// A key's conditions, as the caller makes them. Where they are wrong there are none, and the family says which are missing.
fn conditions(
    make: unsafe extern "C" fn(*mut c_void, *const c_char, *mut sf_condition, usize) -> usize,
    user: &User,
    key: &str,
    names: &[String],
) -> Conditions {
    let size = size_of::<sf_condition>();
    let empty =
        sf_condition { size, name: ptr::null(), record: None, reset: None, free_user: None, user: ptr::null_mut() };
    let (key, mut made) = (owned(key), [empty; CONDITIONS_MAX]);
    // SAFETY: the header asks that it is such a function; the array has so much room.
    let count = unsafe { make(user.data, key.as_ptr(), made.as_mut_ptr(), CONDITIONS_MAX) };
    let names: Vec<_> = names.iter().map(|name| owned(name)).collect();
    let count = count.min(CONDITIONS_MAX);
    for (condition, name) in made[..count].iter_mut().zip(&names) {
        condition.size = size;
        if condition.name.is_null() {
            condition.name = name.as_ptr();
        }
    }
    // SAFETY: the array is here, and the caller has filled it by the header's rules.
    unsafe { take(made.as_ptr(), count) }.unwrap_or_default()
}

/// Frees a handle of a family. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_keyed_free(keyed: Option<Box<sf_keyed>>) {
    ask((), || drop(keyed));
}

/// The breaker of this key, of 1,024 bytes at most: the one at work, one that is brought back, or a new one. The handle is the
/// caller's, to be freed with `sf_breaker_free`, and keeps the breaker from retiring: so ask anew for each call, and free it after.
///
/// `SF_INVALID_ARGUMENT`: the key is too long. `SF_CONDITIONS_DIFFER`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_keyed_get(
    keyed: Option<&sf_keyed>,
    key: *const c_char,
    breaker: Option<&mut MaybeUninit<*mut sf_breaker>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let to = breaker.ok_or_else(|| Fault::null("breaker"))?.write(ptr::null_mut());
        // SAFETY: by the header's rule of texts.
        let key = unsafe { text(key, "key") }?;
        *to = sf_breaker::give(handle(keyed, "keyed")?.inner.get(key)?);
        Ok(())
    })
}

/// The keys at work and their breakers, the last called first, the overflow breaker not among them: fills `keys` and `breakers`, either
/// of which may be NULL, with up to `capacity` of each. A key is the caller's, to be freed with `sf_string_free`, and a handle, to
/// be freed with `sf_breaker_free`. `count` is how many there are, which may be more; with a `capacity` of 0 that is all one learns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_keyed_list(
    keyed: Option<&sf_keyed>,
    keys: *mut *mut c_char,
    breakers: *mut *mut sf_breaker,
    capacity: usize,
    count: Option<&mut MaybeUninit<usize>>,
) -> sf_code {
    run(None, || {
        let list = handle(keyed, "keyed")?.inner.list();
        count.ok_or_else(|| Fault::null("count"))?.write(list.len());
        for (at, (key, breaker)) in list.into_iter().take(capacity).enumerate() {
            if !keys.is_null() {
                // SAFETY: by the header's rule of arrays, `at` is less than `capacity`.
                unsafe { keys.add(at).write(owned(&key).into_raw()) };
            }
            if !breakers.is_null() {
                // SAFETY: the same.
                unsafe { breakers.add(at).write(sf_breaker::give(breaker)) };
            }
        }
        Ok(())
    })
}

/// How many breakers a family has.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_keyed_counts {
    /// `sizeof(sf_keyed_counts)`, set by the caller.
    pub size: usize,
    /// Breakers at work, the overflow breaker not among them.
    pub live: usize,
    /// Breakers that retired and are remembered.
    pub retired: usize,
}

sized!(sf_keyed_counts);

/// How many breakers a family has, into `counts`, whose `size` the caller has set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_keyed_count(keyed: Option<&sf_keyed>, counts: *mut sf_keyed_counts) -> sf_code {
    run(None, || {
        let keyed = handle(keyed, "keyed")?;
        let set = |out: &mut sf_keyed_counts| (out.live, out.retired) = (keyed.inner.live(), keyed.inner.retired());
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { write(counts, "counts", set) }
    })
}
