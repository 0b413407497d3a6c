//! What goes with a permit: how its call ended, what became of that, and how a call is refused.

use std::ffi::c_char;
use std::time::Duration;

use softfuse::{Effect, Outcome, Rejected, Score, Signal};

use crate::code::{sf_code, sf_effect, sf_kind, sf_signal, sf_state};
use crate::fault::Fault;
use crate::sized::{sized, write};
use crate::text::fill;

/// How a guarded call ended. All zeros but `size` is a success, its latency measured by the permit, its score the reported one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_outcome {
    /// `sizeof(sf_outcome)`, set by the caller.
    pub size: usize,
    /// How it ended, an `sf_kind`.
    pub kind: i32,
    /// What is said of the answer's quality, an `sf_signal`.
    pub signal: i32,
    /// With `SF_SCORE`: finite, at most 10^6 in magnitude, by convention from 0 (worthless) to 1 (good).
    pub score: f64,
    /// Not 0: `latency_ns` is given. 0: it is the time from taking the permit to settling it.
    pub has_latency: u32,
    /// Not 0: `retry_after_ns` is given.
    pub has_retry_after: u32,
    /// From the start of the call to its end, in nanoseconds: retries included, queueing before the breaker excluded.
    pub latency_ns: u64,
    /// How long the service asked not to be called (`Retry-After`), in nanoseconds.
    pub retry_after_ns: u64,
}

sized!(sf_outcome);

/// What became of a settled permit, or of a late score.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_settled {
    /// `sizeof(sf_settled)`, set by the caller.
    pub size: usize,
    /// What became of it, an `sf_effect`.
    pub effect: i32,
    /// 1 where this opened the circuit, else 0.
    pub tripped: u32,
    /// The latency that was recorded, in nanoseconds; 0 for a late score.
    pub latency_ns: u64,
}

sized!(sf_settled);

/// A refusal. The caller sets `size`, and `reason` and `reason_capacity` where it wants the reason.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_rejection {
    /// `sizeof(sf_rejection)`, set by the caller.
    pub size: usize,
    /// Where the circuit stands, an `sf_state`.
    pub state: i32,
    /// 1 where `retry_after_ns` is known: exact while open; nobody knows while half-open is full, or forced open.
    pub has_retry_after: u32,
    /// How long to wait, in nanoseconds.
    pub retry_after_ns: u64,
    /// How often the circuit has opened since it was made or last reset.
    pub trip_count: u64,
    /// 1 where the call is refused since the breaker component failed, and the registry fails closed.
    pub component_failed: u32,
    /// 1 where there is a reason; there is none where an operator opened a circuit that had never tripped.
    pub has_reason: u32,
    /// A buffer of the caller's for the reason that the circuit last opened for, or NULL. The text ends with a zero, and is cut
    /// between characters where it is too long.
    pub reason: *mut c_char,
    /// How many bytes the buffer has, the zero included. Set by the caller.
    pub reason_capacity: usize,
    /// How many bytes the whole reason has, without the zero.
    pub reason_bytes: usize,
}

sized!(sf_rejection);

impl sf_outcome {
    pub(crate) fn success() -> Self {
        Self {
            size: size_of::<Self>(),
            kind: sf_kind::SF_SUCCESS as i32,
            signal: sf_signal::SF_NO_SCORE as i32,
            score: 0.0,
            has_latency: 0,
            has_retry_after: 0,
            latency_ns: 0,
            retry_after_ns: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn take(&self) -> Result<Outcome, Fault> {
        const NO_SCORE: i32 = sf_signal::SF_NO_SCORE as i32;
        const SCORE: i32 = sf_signal::SF_SCORE as i32;
        const PENDING: i32 = sf_signal::SF_PENDING as i32;
        let Some(kind) = sf_kind::take(self.kind) else {
            return Err(Fault::argument(&format!("`outcome->kind` is {}, which is no sf_kind", self.kind)));
        };
        let signal = match self.signal {
            NO_SCORE => Signal::None,
            SCORE => Signal::Score(Score::new(self.score)?),
            PENDING => Signal::Pending,
            other => return Err(Fault::argument(&format!("`outcome->signal` is {other}, which is no sf_signal"))),
        };
        let given = |has: u32, nanos| (has != 0).then(|| Duration::from_nanos(nanos));
        let latency = given(self.has_latency, self.latency_ns);
        Ok(Outcome { kind, latency, signal, retry_after: given(self.has_retry_after, self.retry_after_ns) })
    }
}

/// Fills a rejection, if anybody asks for it.
///
/// # Safety
/// By the header's rule of structs that are filled; NULL is nothing.
#[inline]
pub(crate) unsafe fn refuse(rejection: *mut sf_rejection, rejected: &Rejected) -> Result<sf_code, Fault> {
    if !rejection.is_null() {
        let set = |out: &mut sf_rejection| {
            out.state = sf_state::of(rejected.state);
            out.has_retry_after = rejected.retry_after().is_some().into();
            out.retry_after_ns = rejected.retry_after().map_or(0, nanos);
            out.trip_count = rejected.trip_count;
            out.component_failed = rejected.component_failure.is_some().into();
            out.has_reason = rejected.reason.is_some().into();
            let reason = rejected.reason.as_deref().unwrap_or_default();
            // SAFETY: the header asks that the buffer has as many bytes as are said.
            out.reason_bytes = unsafe { fill(out.reason, out.reason_capacity, reason) };
        };
        // SAFETY: as this function asks.
        unsafe { write(rejection, "rejection", set) }?;
    }
    Ok(sf_code::SF_REJECTED)
}

pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Fills what became of something, if anybody asks for it.
///
/// # Safety
/// By the header's rule of structs that are filled; NULL is nothing.
#[inline(always)]
pub(crate) unsafe fn tell(
    settled: *mut sf_settled,
    effect: Effect,
    tripped: bool,
    latency: Duration,
) -> Result<(), Fault> {
    if settled.is_null() {
        return Ok(());
    }
    let set = |out: &mut sf_settled| {
        (out.effect, out.tripped, out.latency_ns) = (sf_effect::of(effect), tripped.into(), nanos(latency));
    };
    // SAFETY: as this function asks.
    unsafe { write(settled, "settled", set) }
}
