//! Bulkheads: so many calls of one operation at once, so many waiting.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use softfuse::{Bulkhead, BulkheadError, BulkheadSettings, Place};

use crate::code::sf_code;
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::sized::{read_or_default, sized, write};
use crate::text::text;

/// Bounds how many calls of one operation are made at once. It stands outside the breaker: take a place first, then the permit.
/// Whoever got it frees it with `sf_bulkhead_free`; places that it gave live on. Any threads, at once too.
pub struct sf_bulkhead {
    inner: Bulkhead,
}

/// The right to one of the calls that a bulkhead allows at once, until `sf_place_free`, on any thread.
pub struct sf_place {
    _inner: Place,
}

/// How an operation is bounded. All zeros but `size` are chat completions' bounds: 10 calls at once, and 100 callers that wait for
/// 30 s. Embeddings' are 20, 100 and 10 s; tools' 5, 100 and 30 s.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_bulkhead_settings {
    /// `sizeof(sf_bulkhead_settings)`, set by the caller.
    pub size: usize,
    /// Calls at once: 1 to 1,000,000; 0 for 10.
    pub concurrent_max: usize,
    /// Callers that wait for a place: up to 1,000,000; 0 for 100. For none, see `nobody_waits`.
    pub queue_max: usize,
    /// How long each of them waits, in nanoseconds: up to 24 hours; 0 for 30 s.
    pub queue_timeout_ns: u64,
    /// Not 0: nobody waits.
    pub nobody_waits: u32,
    /// For later versions: 0.
    pub reserved: u32,
}

sized!(sf_bulkhead_settings);

/// What goes on in a bulkhead, and what went on since it was made.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_bulkhead_counts {
    /// `sizeof(sf_bulkhead_counts)`, set by the caller.
    pub size: usize,
    /// Places that are taken.
    pub in_use: usize,
    /// Callers that wait.
    pub waiting: usize,
    /// Callers that were refused, since it was full.
    pub refused: u64,
    /// Callers that waited in vain.
    pub timed_out: u64,
}

sized!(sf_bulkhead_counts);

/// Makes a bulkhead; its name stands in its errors. `settings` may be NULL for the defaults.
///
/// `SF_INVALID_ARGUMENT`: a setting is out of its range; the error names it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_bulkhead_new(
    name: *const c_char,
    settings: *const sf_bulkhead_settings,
    bulkhead: Option<&mut MaybeUninit<*mut sf_bulkhead>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let to = bulkhead.ok_or_else(|| Fault::null("bulkhead"))?.write(ptr::null_mut());
        // SAFETY: by the header's rules of texts and structs that are read.
        let (name, given) = unsafe { (text(name, "name")?, read_or_default(settings, "settings")?) };
        let mut used = BulkheadSettings::CHAT;
        if given.concurrent_max > 0 {
            used.concurrent_max = given.concurrent_max;
        }
        if given.queue_max > 0 {
            used.queue_max = given.queue_max;
        }
        if given.nobody_waits != 0 {
            used.queue_max = 0;
        }
        if given.queue_timeout_ns > 0 {
            used.queue_timeout = Duration::from_nanos(given.queue_timeout_ns);
        }
        let inner = Bulkhead::new(name, used).map_err(|invalid| Fault::argument(&invalid.to_string()))?;
        *to = Box::into_raw(Box::new(sf_bulkhead { inner }));
        Ok(())
    })
}

/// Frees a bulkhead. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_bulkhead_free(bulkhead: Option<Box<sf_bulkhead>>) {
    ask((), || drop(bulkhead));
}

/// Takes a place. Where none is free, this thread waits, in the order of coming, for as long as the settings say; with
/// `dont_wait` not 0 it doesn't. It is no outcome of any breaker, if there is none.
///
/// `SF_BULKHEAD_FULL`, `SF_BULKHEAD_TIMED_OUT`.
#[unsafe(no_mangle)]
pub extern "C" fn sf_bulkhead_enter(
    bulkhead: Option<&sf_bulkhead>,
    dont_wait: i32,
    place: Option<&mut MaybeUninit<*mut sf_place>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let to = place.ok_or_else(|| Fault::null("place"))?.write(ptr::null_mut());
        let bulkhead = &handle(bulkhead, "bulkhead")?.inner;
        let entered = if dont_wait == 0 { bulkhead.enter() } else { bulkhead.try_enter() };
        let inner = entered.map_err(|error| {
            let code = match error {
                BulkheadError::TimedOut { .. } => sf_code::SF_BULKHEAD_TIMED_OUT,
                _ => sf_code::SF_BULKHEAD_FULL,
            };
            Fault::new(code, error.to_string())
        })?;
        *to = Box::into_raw(Box::new(sf_place { _inner: inner }));
        Ok(())
    })
}

/// Gives a place back. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_place_free(place: Option<Box<sf_place>>) {
    ask((), || drop(place));
}

/// What goes on in a bulkhead, into `counts`, whose `size` the caller has set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_bulkhead_count(bulkhead: Option<&sf_bulkhead>, counts: *mut sf_bulkhead_counts) -> sf_code {
    run(None, || {
        let found = handle(bulkhead, "bulkhead")?.inner.counts();
        let set = |out: &mut sf_bulkhead_counts| {
            (out.in_use, out.waiting) = (found.in_use, found.waiting);
            (out.refused, out.timed_out) = (found.refused, found.timed_out);
        };
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { write(counts, "counts", set) }
    })
}
