//! Breakers' handles, and what is done to a breaker besides calling through it.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use softfuse::Breaker;

use crate::code::{sf_code, sf_state};
use crate::fault::{Fault, ask, handle, quick, run, sf_error};
use crate::outcome::{refuse, sf_rejection};
use crate::text::{give_bytes, owned, text};

/// A handle of a circuit breaker; several handles may be of one breaker. Whoever got it frees it with `sf_breaker_free`, after the
/// last use of the permits that were taken by it. Any threads, at once too.
pub struct sf_breaker {
    pub(crate) inner: Breaker,
    pub(crate) name: CString,
}

impl sf_breaker {
    pub(crate) fn give(inner: Breaker) -> *mut Self {
        let name = owned(inner.name());
        Box::into_raw(Box::new(Self { inner, name }))
    }

    /// Hands out as many as there is room for.
    ///
    /// # Safety
    /// `to` is NULL, or points to room for `capacity` handles.
    pub(crate) unsafe fn give_list(
        list: Vec<Breaker>,
        to: *mut *mut Self,
        capacity: usize,
        count: Option<&mut MaybeUninit<usize>>,
    ) -> Result<(), Fault> {
        if to.is_null() && capacity > 0 {
            return Err(Fault::null("breakers"));
        }
        count.ok_or_else(|| Fault::null("count"))?.write(list.len());
        for (at, breaker) in list.into_iter().take(capacity).enumerate() {
            // SAFETY: `at` is less than `capacity`.
            unsafe { to.add(at).write(Self::give(breaker)) };
        }
        Ok(())
    }
}

/// Frees a handle. The breaker stays in its registry. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_breaker_free(breaker: Option<Box<sf_breaker>>) {
    ask((), || drop(breaker));
}

/// Another handle of the same breaker, for another owner; to be freed with `sf_breaker_free`. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_breaker_share(breaker: Option<&sf_breaker>) -> *mut sf_breaker {
    ask(ptr::null_mut(), || breaker.map_or(ptr::null_mut(), |breaker| sf_breaker::give(breaker.inner.clone())))
}

/// Its name. The text is the handle's, and lives as long. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_breaker_name(breaker: Option<&sf_breaker>) -> *const c_char {
    breaker.map_or(ptr::null(), |breaker| breaker.name.as_ptr())
}

/// Its state as of the last change, an `sf_state`, which costs nothing to ask. An open circuit whose period has passed is open until
/// somebody calls: `sf_breaker_would_refuse` says whether a call would be refused. -1 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_breaker_state(breaker: Option<&sf_breaker>) -> i32 {
    ask(-1, || breaker.map_or(-1, |breaker| sf_state::of(breaker.inner.state())))
}

/// Whether a call would be refused now. It takes no probe and counts nothing.
///
/// `SF_OK`: it would be admitted. `SF_REJECTED`: it would be refused, as `rejection`, where that isn't NULL, says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_breaker_would_refuse(
    breaker: Option<&sf_breaker>,
    rejection: *mut sf_rejection,
) -> sf_code {
    quick(|| match handle(breaker, "breaker")?.inner.would_refuse() {
        None => Ok(sf_code::SF_OK),
        // SAFETY: by the header's rule of structs that are filled.
        Some(rejected) => unsafe { refuse(rejection, &rejected) },
    })
}

/// Closes the circuit: trip count 0, windows fresh, an operator's state ended.
///
/// `SF_COMPONENT_FAILED`.
#[unsafe(no_mangle)]
pub extern "C" fn sf_breaker_reset(
    breaker: Option<&sf_breaker>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        handle(breaker, "breaker")?.inner.reset()?;
        Ok(())
    })
}

/// Puts the circuit into an operator's state, until `sf_breaker_reset`: `SF_FORCED_OPEN`, `SF_DISABLED` or `SF_METRICS_ONLY`.
///
/// `SF_COMPONENT_FAILED`.
#[unsafe(no_mangle)]
pub extern "C" fn sf_breaker_set_operator_state(
    breaker: Option<&sf_breaker>,
    state: i32,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let state = sf_state::operator(state)?;
        handle(breaker, "breaker")?.inner.set_operator_state(state)?;
        Ok(())
    })
}

/// Opens the circuit for a reason of the caller's own, of which 1,024 bytes are kept, for `open_for_ns`, or for as long as the policy
/// says where that is 0. An open period is extended, never shortened. Operators' states stay.
///
/// `SF_COMPONENT_FAILED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_breaker_trip(
    breaker: Option<&sf_breaker>,
    reason: *const c_char,
    open_for_ns: u64,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        // SAFETY: by the header's rule of texts.
        let reason = unsafe { text(reason, "reason") }?;
        let open_for = (open_for_ns > 0).then(|| Duration::from_nanos(open_for_ns));
        handle(breaker, "breaker")?.inner.trip(reason, open_for)?;
        Ok(())
    })
}

/// The whole state as bytes, for `sf_registry_restore`, in another process perhaps. They are the caller's, to be freed with
/// `sf_bytes_free` and their `length`. Conditions of the caller's own are not in them.
///
/// `SF_COMPONENT_FAILED`.
#[unsafe(no_mangle)]
pub extern "C" fn sf_breaker_snapshot(
    breaker: Option<&sf_breaker>,
    snapshot: Option<&mut MaybeUninit<*mut u8>>,
    length: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let snapshot = snapshot.ok_or_else(|| Fault::null("snapshot"))?.write(ptr::null_mut());
        let length = length.ok_or_else(|| Fault::null("length"))?.write(0);
        (*snapshot, *length) = give_bytes(handle(breaker, "breaker")?.inner.snapshot()?);
        Ok(())
    })
}
