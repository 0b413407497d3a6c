//! Conditions of the caller's own: C functions that see every record, as a leaf of a policy.

use std::ffi::{c_char, c_void};

use softfuse::{CallRecord, Condition, Conditions};

use crate::code::{sf_code, sf_kind};
use crate::fault::Fault;
use crate::outcome::nanos;
use crate::sized::{read, sized};
use crate::text::text;

/// Bytes of the buffer that a condition writes its reason to, the zero at its end included.
pub const SF_REASON_BYTES: usize = 1025;

/// One settled call, as a condition sees it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_call_record {
    /// The struct's size, as the library knows it.
    pub size: usize,
    /// How the call ended, an `sf_kind`: a success or a failure. Neutral outcomes aren't shown.
    pub kind: i32,
    /// 1 where it had a score when it was settled.
    pub has_score: u32,
    /// The score.
    pub score: f64,
    /// How long it took, in nanoseconds.
    pub latency_ns: u64,
    /// When it was settled, in nanoseconds of the registry's clock.
    pub at_ns: i64,
}

/// Takes a record. Not 0, where the condition holds now: then `reason` is its reason, a text in UTF-8 of at most
/// `reason_capacity` bytes with its zero, `SF_REASON_BYTES` of them.
pub type sf_condition_record_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        call: *const sf_call_record,
        reason: *mut c_char,
        reason_capacity: usize,
    ) -> i32,
>;

/// Something that is done with the caller's data: forget all records, or free it.
pub type sf_user_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// A condition of the caller's own, which a policy names by `host_condition = "name"`.
///
/// Its functions run under their breaker's lock: one thread at a time, whichever that is. They must be quick, must not call the
/// breaker, and must return: no `longjmp`, no exception through them. It sees every record that takes its place in the windows.
/// A probe is judged alone: the condition is reset before it.
///
/// `user` goes over to the library with the call that hands the condition in, whatever that call comes to: `free_user` is called
/// once, when nobody will call the others any more.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_condition {
    /// `sizeof(sf_condition)`, set by the caller. In an array it is the same for all.
    pub size: usize,
    /// The name in the policy. It is copied.
    pub name: *const c_char,
    /// Takes a record.
    pub record: sf_condition_record_fn,
    /// Forgets all records: the circuit went half-open, closed, or was reset. NULL, where there is nothing to forget.
    pub reset: sf_user_fn,
    /// Frees `user`. NULL, where there is nothing to free.
    pub free_user: sf_user_fn,
    /// What the functions are called with.
    pub user: *mut c_void,
}

sized!(sf_condition);

/// What a caller's functions are called with, and how it is freed.
pub(crate) struct User {
    pub(crate) data: *mut c_void,
    pub(crate) free: sf_user_fn,
}

// SAFETY: the header asks of all functions that take `user` that any thread may call them.
unsafe impl Send for User {}
// SAFETY: as above; where calls mustn't meet, whoever makes them sees to it.
unsafe impl Sync for User {}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the header asks that it is such a function; nobody uses the data any more.
            unsafe { free(self.data) };
        }
    }
}

struct Held {
    record: unsafe extern "C" fn(*mut c_void, *const sf_call_record, *mut c_char, usize) -> i32,
    reset: sf_user_fn,
    user: User,
}

impl Condition for Held {
    fn record(&mut self, call: &CallRecord) -> Option<String> {
        let call = sf_call_record {
            size: size_of::<sf_call_record>(),
            kind: sf_kind::of(call.kind),
            has_score: call.score.is_some().into(),
            score: call.score.map_or(0.0, softfuse::Score::get),
            latency_ns: nanos(call.latency),
            at_ns: call.at.as_nanos(),
        };
        let mut reason = [0_u8; SF_REASON_BYTES];
        // SAFETY: the header asks that it is such a function; the record and the buffer are good for the call's duration, and the
        // breaker's lock keeps other threads out.
        let holds =
            unsafe { (self.record)(self.user.data, &raw const call, reason.as_mut_ptr().cast(), SF_REASON_BYTES) };
        let end = reason.iter().position(|byte| *byte == 0).unwrap_or(SF_REASON_BYTES);
        (holds != 0).then(|| String::from_utf8_lossy(&reason[..end]).into_owned())
    }

    fn reset(&mut self) {
        if let Some(reset) = self.reset {
            // SAFETY: the header asks that it is such a function, and the breaker's lock keeps other threads out.
            unsafe { reset(self.user.data) };
        }
    }
}

/// Takes a caller's conditions over. Their data is freed with what this gives back, or where it fails.
///
/// # Safety
/// By the header's rule of arrays of structs, and each is as [`sf_condition`] says.
pub(crate) unsafe fn take(conditions: *const sf_condition, count: usize) -> Result<Conditions, Fault> {
    let (mut taken, mut fault) = (Conditions::new(), None);
    if count == 0 {
        return Ok(taken);
    }
    // SAFETY: as this function asks; the first one's size is that of all.
    let (_, stride) = unsafe { read(conditions, "conditions") }?;
    for at in 0..count {
        // SAFETY: as this function asks: `count` structs of `stride` bytes.
        let read = unsafe { read(conditions.cast::<u8>().add(at * stride).cast::<sf_condition>(), "conditions[]") };
        let condition = match read {
            Ok((condition, size)) if size == stride => condition,
            Ok(_) => return Err(Fault::argument("`conditions[]` differ in `size`")),
            Err(fault) => return Err(fault),
        };
        // First of all, so that it is freed whatever follows.
        let user = User { data: condition.user, free: condition.free_user };
        // SAFETY: by the header's rule of texts.
        let checked = unsafe { text(condition.name, "conditions[].name") }.and_then(|name| {
            let record = condition.record.ok_or_else(|| Fault::null("conditions[].record"))?;
            match taken.insert(name.to_owned(), Box::new(Held { record, reset: condition.reset, user })) {
                None => Ok(()),
                Some(_) => Err(Fault::new(sf_code::SF_CONDITIONS_DIFFER, format!("`{name}` was handed in twice"))),
            }
        });
        fault = fault.or(checked.err());
    }
    fault.map_or(Ok(taken), Err)
}
