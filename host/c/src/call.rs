//! The guarded call as one function: take, call, settle.

use std::ffi::c_void;

use crate::breaker::sf_breaker;
use crate::code::sf_code;
use crate::fault::{Fault, quick};
use crate::outcome::{sf_outcome, sf_rejection, sf_settled};
use crate::permit::{settle, sf_permit, sf_permit_cancel, take};

/// The guarded code. It may report a score on `permit`, and says in `outcome` how the call ended, which is a success as it is
/// handed in. Both are the library's, and end with the function. It must return: no `longjmp`, no exception through it.
pub type sf_call_fn = Option<unsafe extern "C" fn(user: *mut c_void, permit: *mut sf_permit, outcome: *mut sf_outcome)>;

/// Makes a guarded call: takes a permit, runs `call` with `user` on this thread, and settles the permit as the outcome says. No
/// lock is held meanwhile; any threads, at once too.
///
/// `SF_OK`: the call was made, however it ended. `SF_REJECTED`: it wasn't, and `rejection`, where it isn't NULL, says why: give
/// your fallback. `SF_INVALID_ARGUMENT` and `SF_INVALID_SCORE` of the outcome: the call was made, and is settled as cancelled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_call(
    breaker: Option<&sf_breaker>,
    call: sf_call_fn,
    user: *mut c_void,
    rejection: *mut sf_rejection,
    settled: *mut sf_settled,
) -> sf_code {
    let mut permit = sf_permit::EMPTY;
    let code = quick(|| {
        let call = call.ok_or_else(|| Fault::null("call"))?;
        // SAFETY: the header's rules hold for what was handed in.
        let code = unsafe { take(breaker, &mut permit, rejection, None) }?;
        if code != sf_code::SF_OK {
            return Ok(code);
        }
        let mut outcome = sf_outcome::success();
        // SAFETY: the header asks that it is such a function, and both pointers are good for the call's duration.
        unsafe { call(user, &raw mut permit, &raw mut outcome) };
        if permit.is_settled() {
            // By the call itself.
            return Ok(sf_code::SF_OK);
        }
        // SAFETY: the header's rules hold for what was handed in; the outcome is here.
        unsafe { settle(Some(&mut permit), &raw const outcome, None, settled) }
    });
    if permit.is_live() {
        // Its outcome is wrong, or the library has panicked.
        sf_permit_cancel(Some(&mut permit));
    }
    code
}
