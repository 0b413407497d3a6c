//! A scorer at work for breakers: before the answer is passed on, or beside the call.

use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use softfuse::{Scoring, ScoringSettings};

use crate::code::sf_code;
use crate::exchange::{say, sf_exchange, sf_verdict};
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::permit::sf_permit;
use crate::scorer::sf_scorer;
use crate::sized::{check, read_or_default, sized};

/// A scorer with threads of its own, for any number of breakers. Whoever got it frees it with `sf_scoring_free`. Any threads, at once
/// too.
pub struct sf_scoring {
    inner: Scoring,
}

/// How answers are scored beside the call. All zeros but `size` are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_scoring_settings {
    /// `sizeof(sf_scoring_settings)`, set by the caller.
    pub size: usize,
    /// Threads that score; 0 for 1. More than the scorer's `instances_max` would only wait.
    pub workers: usize,
    /// Answers that may wait for their score; 0 for 256. Beyond, an answer isn't scored, and that is counted.
    pub queue_max: usize,
    /// What is kept of a request, and of an answer, in bytes; 0 for 64 KiB. The rest is cut off.
    pub answer_bytes_max: usize,
    /// How long an answer may wait, in nanoseconds; 0 for 30 s. Then its score is reported as missing.
    pub wait_max_ns: u64,
}

sized!(sf_scoring_settings);

/// Starts the threads. `settings` may be NULL for the defaults. The scorer may be freed afterwards.
///
/// `SF_SYSTEM`: the system gives no thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_scoring_start(
    scorer: Option<&sf_scorer>,
    settings: *const sf_scoring_settings,
    scoring: Option<&mut MaybeUninit<*mut sf_scoring>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let to = scoring.ok_or_else(|| Fault::null("scoring"))?.write(ptr::null_mut());
        // SAFETY: by the header's rule of structs that are read.
        let given = unsafe { read_or_default(settings, "settings") }?;
        let mut used = ScoringSettings::default();
        let set = |given: usize, to: &mut usize| {
            if given > 0 {
                *to = given;
            }
        };
        set(given.workers, &mut used.workers);
        set(given.queue_max, &mut used.queue_max);
        set(given.answer_bytes_max, &mut used.answer_bytes_max);
        if given.wait_max_ns > 0 {
            used.wait_max = Duration::from_nanos(given.wait_max_ns);
        }
        let scorer = handle(scorer, "scorer")?.inner.clone();
        let inner = Scoring::start(scorer, used)
            .map_err(|error| Fault::new(sf_code::SF_SYSTEM, format!("the system gives no thread: {error}")))?;
        *to = Box::into_raw(Box::new(sf_scoring { inner }));
        Ok(())
    })
}

/// Ends the threads, when they have done what they are at; what waits is reported as missing. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_scoring_free(scoring: Option<Box<sf_scoring>>) {
    ask((), || drop(scoring));
}

/// How many answers wait. 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_scoring_waiting(scoring: Option<&sf_scoring>) -> usize {
    ask(0, || scoring.map_or(0, |scoring| scoring.inner.waiting()))
}

/// Has an answer scored beside the call: its score, or that there is none, comes to the breaker as a late score. `permit` was settled
/// as `SF_PENDING`; it and the breaker's handle may go away at once. The exchange is copied, up to `answer_bytes_max`. A policy
/// without conditions on scores (`sf_policy_get_info`) needs none.
///
/// `SF_BUSY`: too many wait; the score is reported as missing, and that is counted. `SF_INVALID_PERMIT`: the permit isn't settled.
/// Where the exchange is wrong, the score is reported as missing, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_scoring_submit(
    scoring: Option<&sf_scoring>,
    permit: Option<&sf_permit>,
    exchange: *const sf_exchange,
) -> sf_code {
    run(None, || {
        let permit = permit.ok_or_else(|| Fault::null("permit"))?;
        let breaker = permit.breaker()?;
        if !permit.is_settled() {
            return Err(Fault::new(sf_code::SF_INVALID_PERMIT, "the permit isn't settled"));
        }
        let late = breaker.inner.raw_late_scores(permit.raw());
        // SAFETY: by the header's rules of structs that are read.
        let shown = unsafe { crate::exchange::exchange(exchange) };
        let ready = handle(scoring, "scoring").and_then(|scoring| Ok((scoring, shown?)));
        let (scoring, shown) = ready.inspect_err(|_| {
            // Whoever settles as pending owes a score.
            let _ = late.report_missing();
        })?;
        let taken = scoring.inner.submit(late, shown);
        if taken { Ok(()) } else { Err(Fault::new(sf_code::SF_BUSY, "too many answers wait")) }
    })
}

/// Scores an answer now, on this thread, before it is passed on: the score goes into the permit, unless the call has reported one
/// itself. `verdict`, where it isn't NULL, says what the scorer said, so that a bad answer can be replaced. A scorer that fails harms
/// nothing: that is told as an event, and counted.
///
/// `SF_PERMIT_SETTLED`: it is too late for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_permit_score(
    permit: Option<&mut sf_permit>,
    scoring: Option<&sf_scoring>,
    exchange: *const sf_exchange,
    verdict: *mut sf_verdict,
) -> sf_code {
    run(None, || {
        let permit = permit.ok_or_else(|| Fault::null("permit"))?;
        let breaker = permit.unsettled()?.inner.clone();
        let scoring = handle(scoring, "scoring")?;
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { check(verdict, "verdict") }?;
        // SAFETY: by the header's rules of structs that are read.
        let outcome = scoring.inner.score_now(&breaker, unsafe { crate::exchange::exchange(exchange) }?);
        if let (Some(score), 0) = (outcome.score(), permit.has_score) {
            permit.keep(score);
        }
        if verdict.is_null() {
            return Ok(());
        }
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { say(verdict, Some(&outcome)) }
    })
}
