//! All that there is to know of a circuit: the numbers as a struct, everything as JSON.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use serde_json::{Value, json};
use softfuse::{Cause, CircuitStatus, Time, TripReason};

use crate::breaker::sf_breaker;
use crate::code::{sf_code, sf_kind, sf_state};
use crate::fault::{handle, run, sf_error};
use crate::outcome::nanos;
use crate::sized::{sized, write};
use crate::text::{cleared, give};

/// A circuit's numbers. What `sf_breaker_status_json` tells besides are its texts, its conditions and its last transitions.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_status {
    /// `sizeof(sf_status)`, set by the caller.
    pub size: usize,
    /// Where it stands, an `sf_state`. An open circuit whose period has passed is open still, and `would_refuse` is 0.
    pub state: i32,
    /// 1 where a call would be refused now.
    pub would_refuse: u32,
    /// Since when, in nanoseconds of the registry's clock. Such times may be negative, where a restored breaker remembers what was
    /// before the clock's origin.
    pub since_ns: i64,
    /// The counter that each change of state bumps.
    pub generation: u32,
    /// 1 where `retry_after_ns` is there.
    pub has_retry_after: u32,
    /// While open: what is left of the open period, in nanoseconds.
    pub retry_after_ns: u64,
    /// How often it has opened since it was made or last reset, re-openings included.
    pub trip_count: u64,
    /// How often it has opened again since it last closed: the backoff's exponent.
    pub reopen_count: u32,
    /// Settled calls in the last 60 s, as far as the policy's `adaptive` tiers count; 0 for a policy without any.
    pub calls_per_minute: u32,
    /// Calls that were settled since it was made: successes, failures and neutral ones, stale ones included.
    pub calls: u64,
    /// Of them, those that the service answered.
    pub successes: u64,
    /// Of them, those that failed.
    pub failures: u64,
    /// Of them, those that count neither for nor against the service.
    pub neutral: u64,
    /// Calls that were refused.
    pub rejections: u64,
    /// Of `calls`, those settled too late to count.
    pub stale: u64,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Successes since the last failure.
    pub consecutive_successes: u32,
    /// While half-open: probes under way.
    pub live_probes: u32,
    /// While half-open: probes that passed.
    pub passed_probes: u32,
    /// 1 where `last_failure_at_ns` and `last_failure_kind` are there.
    pub has_last_failure: u32,
    /// How the last failed call ended, an `sf_kind`.
    pub last_failure_kind: i32,
    /// When the last call failed.
    pub last_failure_at_ns: i64,
    /// When it last opened, where `has_last_trip` is 1.
    pub last_trip_at_ns: i64,
    /// 1 where `last_trip_at_ns` is there.
    pub has_last_trip: u32,
    /// For later versions.
    pub reserved: u32,
}

sized!(sf_status);

/// A circuit's numbers, into `status`, whose `size` the caller has set. Asking changes nothing.
///
/// `SF_COMPONENT_FAILED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_breaker_status(
    breaker: Option<&sf_breaker>,
    status: *mut sf_status,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let found = handle(breaker, "breaker")?.inner.status()?;
        let set = |out: &mut sf_status| {
            out.state = sf_state::of(found.state);
            out.would_refuse = found.would_refuse.into();
            out.since_ns = found.since.as_nanos();
            out.generation = found.generation;
            out.has_retry_after = found.retry_after.is_some().into();
            out.retry_after_ns = found.retry_after.map_or(0, nanos);
            (out.trip_count, out.reopen_count) = (found.trip_count, found.reopen_count);
            out.calls_per_minute = found.calls_per_minute;
            let totals = found.totals;
            (out.calls, out.successes, out.failures) = (totals.calls, totals.successes, totals.failures);
            (out.neutral, out.rejections, out.stale) = (totals.neutral, totals.rejections, totals.stale);
            out.consecutive_failures = found.consecutive_failures;
            out.consecutive_successes = found.consecutive_successes;
            (out.live_probes, out.passed_probes) = (found.live_probes, found.passed_probes);
            out.has_last_failure = found.last_failure.is_some().into();
            out.last_failure_kind = found.last_failure.map_or(0, |failure| sf_kind::of(failure.kind));
            out.last_failure_at_ns = found.last_failure.map_or(0, |failure| failure.at.as_nanos());
            out.has_last_trip = found.last_trip.is_some().into();
            out.last_trip_at_ns = found.last_trip.map_or(0, |trip| trip.at.as_nanos());
        };
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { write(status, "status", set) }
    })
}

/// All that there is to know of a circuit, as a JSON object with the contract's names; times and spans are in nanoseconds, and
/// what isn't there is `null`. The text is the caller's, to be freed with `sf_string_free`. Asking changes nothing.
///
/// `SF_COMPONENT_FAILED`.
#[unsafe(no_mangle)]
pub extern "C" fn sf_breaker_status_json(
    breaker: Option<&sf_breaker>,
    json: Option<&mut MaybeUninit<*mut c_char>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    let json = cleared(json);
    run(error, || {
        let found = handle(breaker, "breaker")?.inner.status()?;
        give(json, "json", &as_json(&found).to_string())
    })
}

fn as_json(status: &CircuitStatus) -> Value {
    let at = Time::as_nanos;
    json!({
        "state": status.state.as_str(),
        "since_ns": at(status.since),
        "generation": status.generation,
        "would_refuse": status.would_refuse,
        "retry_after_ns": status.retry_after.map(nanos),
        "trip_count": status.trip_count,
        "reopen_count": status.reopen_count,
        "last_trip": status.last_trip.as_ref().map(|trip| json!({
            "at_ns": at(trip.at),
            "text": trip.text,
            "reason": reason(&trip.reason),
        })),
        "transitions": status.transitions.iter().map(|transition| json!({
            "at_ns": at(transition.at),
            "old": transition.old.as_str(),
            "new": transition.new.as_str(),
            "text": transition.text,
        })).collect::<Vec<_>>(),
        "totals": {
            "calls": status.totals.calls,
            "successes": status.totals.successes,
            "failures": status.totals.failures,
            "neutral": status.totals.neutral,
            "rejections": status.totals.rejections,
            "stale": status.totals.stale,
        },
        "last_failure": status.last_failure.map(|failure| json!({
            "at_ns": at(failure.at),
            "kind": failure.kind.as_str(),
        })),
        "consecutive_failures": status.consecutive_failures,
        "consecutive_successes": status.consecutive_successes,
        "conditions": status.conditions.iter().map(|reading| json!({
            "path": reading.path,
            "value": reading.value,
            "limit": reading.limit,
            "filled": reading.filled,
            "needed": reading.needed,
            "holds": reading.holds,
        })).collect::<Vec<_>>(),
        "live_probes": status.live_probes,
        "passed_probes": status.passed_probes,
        "calls_per_minute": status.calls_per_minute,
    })
}

fn reason(reason: &TripReason) -> Value {
    let list = |found: &[Cause]| -> Vec<Value> {
        let cause = |cause: &Cause| json!({ "path": cause.path, "value": cause.value, "limit": cause.limit, "text": cause.text });
        found.iter().map(cause).collect()
    };
    match reason {
        TripReason::Conditions(causes) => json!({ "conditions": list(causes) }),
        TripReason::ProbeConditions(causes) => json!({ "probe_conditions": list(causes) }),
        TripReason::ProbeFailed(kind) => json!({ "probe_failed": kind.as_str() }),
        TripReason::Host(reason) => json!({ "host": reason }),
    }
}
