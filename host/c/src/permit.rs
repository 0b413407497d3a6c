//! A permit as a plain struct on its caller's stack, from taking it to the last late score: what is done on every call.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use softfuse::{Effect, InvalidScore, Outcome, OutcomeKind, RawPermit, Rejected, Score, Signal, StateChange, Time};

use crate::breaker::sf_breaker;
use crate::code::{sf_code, sf_effect, sf_kind, sf_signal, sf_state};
use crate::fault::{Fault, handle, quick};
use crate::sized::{Sized, read, size_stated, sized};
use crate::text::fill;

/// The identified right to one call. The caller lays it out, on the stack say; `sf_permit_take` fills it. Its fields are the
/// library's own. Nothing in it is to be freed, but it is to be settled once, by `sf_permit_settle` or `sf_permit_cancel`: a
/// probe that isn't keeps its place until its deadline.
///
/// It names its breaker, whose handle must live as long as the permit is used. It may be moved, to another thread too, but is
/// used by one thread at a time. A copy of it is the same permit: settle one of them, once. Copies that are made after that may
/// all report late scores.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_permit {
    /// Whose it is.
    pub breaker: *const sf_breaker,
    /// As the component gave it.
    pub number: u64,
    /// When it was given.
    pub admitted_at_ns: i64,
    /// What was reported last.
    pub score: f64,
    /// Whether it was taken, and settled.
    pub standing: u32,
    /// Whether `score` is one.
    pub has_score: u32,
    /// For later versions.
    pub reserved: [u64; 3],
}

/// `standing` of a permit that was taken. Not small numbers, so that what was never filled is hardly taken for one.
const LIVE: u32 = 0x5f0a_11fe;
/// `standing` of a permit that is settled.
const SETTLED: u32 = 0x5f0a_5e77;

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

impl sf_permit {
    /// What isn't taken.
    pub(crate) const EMPTY: Self = Self {
        breaker: ptr::null(),
        number: 0,
        admitted_at_ns: 0,
        score: 0.0,
        standing: 0,
        has_score: 0,
        reserved: [0; 3],
    };

    #[inline]
    pub(crate) fn taken(breaker: &sf_breaker, permit: RawPermit) -> Self {
        let (number, admitted_at) = permit.to_parts();
        Self { breaker, number, admitted_at_ns: admitted_at.as_nanos(), standing: LIVE, ..Self::EMPTY }
    }

    pub(crate) const fn is_live(&self) -> bool {
        self.standing == LIVE
    }

    pub(crate) const fn is_settled(&self) -> bool {
        self.standing == SETTLED
    }

    #[inline]
    pub(crate) const fn raw(&self) -> RawPermit {
        RawPermit::from_parts(self.number, Time::from_nanos(self.admitted_at_ns))
    }

    /// The breaker of a permit that was taken.
    #[inline]
    pub(crate) fn breaker(&self) -> Result<&sf_breaker, Fault> {
        if !self.is_live() && !self.is_settled() || self.breaker.is_null() {
            return Err(Fault::new(sf_code::SF_INVALID_PERMIT, "this is no permit"));
        }
        // SAFETY: it was taken, so that this is the breaker's handle, which the header asks to live as long as the permit is used.
        Ok(unsafe { &*self.breaker })
    }

    /// The breaker of a permit that is to be settled.
    #[inline]
    pub(crate) fn unsettled(&self) -> Result<&sf_breaker, Fault> {
        let breaker = self.breaker()?;
        if self.is_settled() {
            return Err(Fault::new(sf_code::SF_PERMIT_SETTLED, "the permit is settled already"));
        }
        Ok(breaker)
    }

    /// Keeps a score for the settlement, if there is none of the call's own yet or it is one.
    pub(crate) fn keep(&mut self, score: Score) {
        (self.score, self.has_score) = (score.get(), 1);
    }

    /// Settles it. What became of it, and the latency.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        mut outcome: Outcome,
        now: Option<Time>,
    ) -> Result<(Effect, bool, Duration), Fault> {
        let breaker = self.unsettled()?;
        if self.has_score != 0 && !matches!(outcome.signal, Signal::Score(_)) {
            outcome.signal = Signal::Score(Score::new(self.score)?);
        }
        let now = now.unwrap_or_else(|| breaker.inner.now());
        let settled = breaker.inner.settle_raw_at(self.raw(), outcome, now);
        let (effect, tripped, latency) = (settled.effect, settled.tripped(), settled.latency);
        self.standing = SETTLED;
        if effect == Effect::Lost {
            // Late scores have nothing to belong to.
            self.number = u64::MAX;
        }
        Ok((effect, tripped, latency))
    }
}

impl From<InvalidScore> for Fault {
    fn from(error: InvalidScore) -> Self {
        Self::new(sf_code::SF_INVALID_SCORE, error.to_string())
    }
}

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

    #[inline]
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
#[cold]
pub(crate) unsafe fn refuse(rejection: *mut sf_rejection, rejected: &Rejected) -> Result<sf_code, Fault> {
    if !rejection.is_null() {
        // SAFETY: as this function asks.
        let mut out = unsafe { Sized::out(rejection, "rejection") }?;
        out.state = sf_state::of(rejected.state);
        out.has_retry_after = rejected.retry_after.is_some().into();
        out.retry_after_ns = rejected.retry_after.map_or(0, nanos);
        out.trip_count = rejected.trip_count;
        out.component_failed = rejected.component_failure.is_some().into();
        out.has_reason = rejected.reason.is_some().into();
        let reason = rejected.reason.as_deref().unwrap_or_default();
        // SAFETY: the header asks that the buffer has as many bytes as are said.
        out.reason_bytes = unsafe { fill(out.reason, out.reason_capacity, reason) };
        out.finish();
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
#[inline]
unsafe fn tell(settled: *mut sf_settled, effect: Effect, tripped: bool, latency: Duration) -> Result<(), Fault> {
    if !settled.is_null() {
        // SAFETY: as this function asks.
        let mut out = unsafe { Sized::out(settled, "settled") }?;
        (out.effect, out.tripped, out.latency_ns) = (sf_effect::of(effect), tripped.into(), nanos(latency));
        out.finish();
    }
    Ok(())
}

/// Checks what is to be filled before anything is done that can't be undone.
///
/// # Safety
/// `out` is NULL, or points to a struct whose `size` is set.
#[inline]
unsafe fn check_out<T: crate::sized::Plain>(out: *mut T, argument: &str) -> Result<(), Fault> {
    if !out.is_null() {
        // SAFETY: as this function asks.
        unsafe { size_stated(out.cast_const(), argument) }?;
    }
    Ok(())
}

/// Takes the right to one call, and fills `permit`. No memory is allocated; any threads, at once too.
///
/// `SF_REJECTED`: the call is not to be made; `rejection`, where it isn't NULL, says why, and `permit` is none. Where the breaker
/// component fails, calls are admitted or refused as the registry's `failure_mode` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_permit_take(
    breaker: Option<&sf_breaker>,
    permit: Option<&mut MaybeUninit<sf_permit>>,
    rejection: *mut sf_rejection,
) -> sf_code {
    // SAFETY: as this function asks.
    quick(|| unsafe { take(breaker, permit, rejection, None) })
}

/// `sf_permit_take` at `now_ns`, nanoseconds of the registry's clock, which isn't read then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_permit_take_at(
    breaker: Option<&sf_breaker>,
    now_ns: i64,
    permit: Option<&mut MaybeUninit<sf_permit>>,
    rejection: *mut sf_rejection,
) -> sf_code {
    // SAFETY: as this function asks.
    quick(|| unsafe { take(breaker, permit, rejection, Some(Time::from_nanos(now_ns))) })
}

/// # Safety
/// By the header's rule of structs that are filled, for `rejection`.
#[inline]
unsafe fn take(
    breaker: Option<&sf_breaker>,
    permit: Option<&mut MaybeUninit<sf_permit>>,
    rejection: *mut sf_rejection,
    now: Option<Time>,
) -> Result<sf_code, Fault> {
    let permit = permit.ok_or_else(|| Fault::null("permit"))?;
    // Written first, so that it is none whatever follows, a panic of the clock's included.
    let permit = permit.write(sf_permit::EMPTY);
    let breaker = handle(breaker, "breaker")?;
    // SAFETY: as this function asks.
    unsafe { check_out(rejection, "rejection") }?;
    let now = now.unwrap_or_else(|| breaker.inner.now());
    match breaker.inner.raw_permit_at(now) {
        Ok(raw) => {
            *permit = sf_permit::taken(breaker, raw);
            Ok(sf_code::SF_OK)
        }
        // SAFETY: as this function asks.
        Err(rejected) => unsafe { refuse(rejection, &rejected) },
    }
}

/// Says how good the answer is. Before the permit is settled the last report counts: it goes into the outcome, and wins over a
/// scorer's. After that each is a late score, a sample of its own. `report`, where it isn't NULL, says what became of it:
/// `SF_KEPT` before, and after that perhaps `SF_STALE`, where the circuit has changed its state since, and the score isn't wanted.
///
/// `SF_INVALID_SCORE`: the number is none, and nothing is changed by it. `SF_INVALID_PERMIT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_permit_report_quality(
    permit: Option<&mut sf_permit>,
    score: f64,
    report: *mut sf_settled,
) -> sf_code {
    // SAFETY: as this function asks.
    quick(|| unsafe { self::report(permit, Some(score), None, report) })
}

/// `sf_permit_report_quality` at `now_ns`, nanoseconds of the registry's clock, which isn't read then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_permit_report_quality_at(
    permit: Option<&mut sf_permit>,
    score: f64,
    now_ns: i64,
    report: *mut sf_settled,
) -> sf_code {
    // SAFETY: as this function asks.
    quick(|| unsafe { self::report(permit, Some(score), Some(Time::from_nanos(now_ns)), report) })
}

/// Says that no score will come, for a permit that was settled as `SF_PENDING`. Before the settlement it says nothing.
///
/// `SF_INVALID_PERMIT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_permit_report_missing(permit: Option<&mut sf_permit>, report: *mut sf_settled) -> sf_code {
    // SAFETY: as this function asks.
    quick(|| unsafe { self::report(permit, None, None, report) })
}

/// # Safety
/// By the header's rule of structs that are filled, for `report`.
unsafe fn report(
    permit: Option<&mut sf_permit>,
    score: Option<f64>,
    now: Option<Time>,
    report: *mut sf_settled,
) -> Result<sf_code, Fault> {
    let permit = permit.ok_or_else(|| Fault::null("permit"))?;
    let breaker = permit.breaker()?;
    // SAFETY: as this function asks.
    unsafe { check_out(report, "report") }?;
    let score = score.map(Score::new).transpose()?;
    let (effect, change): (Effect, Option<Box<StateChange>>) = if permit.is_settled() {
        let late = breaker.inner.raw_late_scores(permit.raw());
        let now = now.unwrap_or_else(|| breaker.inner.now());
        match score {
            Some(score) => late.report_quality_at(score.get(), now)?,
            None => late.report_missing_at(now),
        }
    } else {
        if let Some(score) = score {
            permit.keep(score);
        }
        (Effect::Pending, None)
    };
    let tripped = change.is_some_and(|change| change.is_trip());
    // SAFETY: as this function asks.
    unsafe { tell(report, effect, tripped, Duration::ZERO) }?;
    Ok(sf_code::SF_OK)
}

/// Settles a permit: the call has ended as `outcome` says; NULL is a success. `settled`, where it isn't NULL, says what became of
/// it. No memory is allocated on a healthy service's calls; any thread.
///
/// `SF_PERMIT_SETTLED`: it was settled before, and isn't counted twice. `SF_INVALID_PERMIT`. For `SF_INVALID_ARGUMENT` and
/// `SF_INVALID_SCORE` the permit isn't settled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_permit_settle(
    permit: Option<&mut sf_permit>,
    outcome: *const sf_outcome,
    settled: *mut sf_settled,
) -> sf_code {
    // SAFETY: as this function asks.
    quick(|| unsafe { settle(permit, outcome, None, settled) })
}

/// `sf_permit_settle` at `now_ns`, nanoseconds of the registry's clock, which isn't read then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_permit_settle_at(
    permit: Option<&mut sf_permit>,
    outcome: *const sf_outcome,
    now_ns: i64,
    settled: *mut sf_settled,
) -> sf_code {
    // SAFETY: as this function asks.
    quick(|| unsafe { settle(permit, outcome, Some(Time::from_nanos(now_ns)), settled) })
}

/// # Safety
/// By the header's rules of structs that are read and filled.
#[inline]
unsafe fn settle(
    permit: Option<&mut sf_permit>,
    outcome: *const sf_outcome,
    now: Option<Time>,
    settled: *mut sf_settled,
) -> Result<sf_code, Fault> {
    let permit = permit.ok_or_else(|| Fault::null("permit"))?;
    // Whose permit is settled learns that first.
    permit.unsettled()?;
    let outcome = if outcome.is_null() {
        Outcome::success()
    } else {
        // SAFETY: as this function asks.
        unsafe { read(outcome, "outcome") }?.0.take()?
    };
    // SAFETY: as this function asks.
    unsafe { check_out(settled, "settled") }?;
    let (effect, tripped, latency) = permit.settle(outcome, now)?;
    // SAFETY: as this function asks.
    unsafe { tell(settled, effect, tripped, latency) }?;
    Ok(sf_code::SF_OK)
}

/// Settles a permit as cancelled, which is neutral: the caller went away. One that is settled already stays as it is, with
/// `SF_PERMIT_SETTLED`, so that this can stand in the path of every error.
#[unsafe(no_mangle)]
pub extern "C" fn sf_permit_cancel(permit: Option<&mut sf_permit>) -> sf_code {
    quick(|| {
        let permit = permit.ok_or_else(|| Fault::null("permit"))?;
        permit.settle(Outcome::new(OutcomeKind::Cancelled), None)?;
        Ok(sf_code::SF_OK)
    })
}
