//! A permit as a plain struct on its caller's stack, from taking it to the last late score: what is done on every call.

use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use softfuse::{Effect, InvalidScore, Outcome, OutcomeKind, RawPermit, Score, Settled, Signal, StateChange, Time};

use crate::breaker::sf_breaker;
use crate::code::sf_code;
use crate::fault::{Fault, handle, quick};
use crate::outcome::{refuse, sf_outcome, sf_rejection, sf_settled, tell};
use crate::sized::{check, look};

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
/// The same, by a neutral outcome, whose scores are wanted by nobody.
const SETTLED_NEUTRAL: u32 = 0x5f0a_4e07;

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
        matches!(self.standing, SETTLED | SETTLED_NEUTRAL)
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

    /// Settles it. What became of it, whether that opened the circuit, and the latency.
    #[inline(always)]
    fn settle(&mut self, mut outcome: Outcome, now: Option<Time>) -> Result<(Effect, bool, Duration), Fault> {
        let breaker = self.unsettled()?;
        if self.has_score != 0 && !matches!(outcome.signal, Signal::Score(_)) {
            outcome.signal = Signal::Score(Score::new(self.score)?);
        }
        let now = now.unwrap_or_else(|| breaker.inner.now());
        let Settled { effect, change, latency, late: _ } = breaker.inner.settle_raw_at(self.raw(), outcome, now);
        let tripped = change.is_some_and(|change| change.is_trip());
        self.standing = if outcome.kind.is_neutral() { SETTLED_NEUTRAL } else { SETTLED };
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
    quick(|| unsafe { take(breaker, blank(permit)?, rejection, None) })
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
    quick(|| unsafe { take(breaker, blank(permit)?, rejection, Some(Time::from_nanos(now_ns))) })
}

/// The caller's permit, which is none yet: so it stays one that isn't taken whatever follows, a panic of the clock's included.
#[inline]
fn blank(permit: Option<&mut MaybeUninit<sf_permit>>) -> Result<&mut sf_permit, Fault> {
    Ok(permit.ok_or_else(|| Fault::null("permit"))?.write(sf_permit::EMPTY))
}

/// Fills a permit that is none yet.
///
/// # Safety
/// By the header's rule of structs that are filled, for `rejection`.
#[inline(always)]
pub(crate) unsafe fn take(
    breaker: Option<&sf_breaker>,
    permit: &mut sf_permit,
    rejection: *mut sf_rejection,
    now: Option<Time>,
) -> Result<sf_code, Fault> {
    let breaker = handle(breaker, "breaker")?;
    // SAFETY: as this function asks.
    unsafe { check(rejection, "rejection") }?;
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
/// `SF_KEPT` before, and after that perhaps `SF_STALE`, where the circuit has changed its state since, and the score isn't wanted,
/// or `SF_IGNORED`, where the call's outcome was neutral.
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
    unsafe { check(report, "report") }?;
    let score = score.map(Score::new).transpose()?;
    let (effect, change): (Effect, Option<Box<StateChange>>) = if permit.standing == SETTLED_NEUTRAL {
        (Effect::Ignored, None)
    } else if permit.is_settled() {
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
#[inline(always)]
pub(crate) unsafe fn settle(
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
        let mut copy = None;
        // SAFETY: as this function asks.
        unsafe { look(outcome, "outcome", &mut copy) }?.take()?
    };
    // SAFETY: as this function asks.
    unsafe { check(settled, "settled") }?;
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
