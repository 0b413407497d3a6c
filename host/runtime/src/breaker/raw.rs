//! Permits as plain numbers, for hosts in languages that have no owners and no lifetimes.

use std::borrow::Cow;
use std::time::Duration;

use super::permit::{latency_nanos, record};
use super::{Breaker, LateScores, Settled};
use crate::error::Rejected;
use crate::types::{Outcome, Time};

/// An incarnation that no component ever has. A permit of it that the component doesn't know was lost with an incarnation, as
/// far as anybody can tell; so it is lost, and the component hasn't failed.
const ANY_INCARNATION: u64 = u64::MAX >> 3;

/// A [`Permit`](crate::Permit) as plain numbers, which holds no breaker, reports nothing and is never dropped: whoever has it sees to it that
/// it is settled, once, by the breaker that gave it. It is for hosts in other languages. In Rust a [`Permit`](crate::Permit) does all that by
/// itself, and costs as much.
///
/// ```
/// use softfuse::{Outcome, RawPermit, Registry, Time};
///
/// let registry = Registry::new()?;
/// let breaker = registry.breaker("llm", &registry.policy("example", "trip_on = { consecutive_failures = 2 }")?)?;
/// let now = breaker.now();
/// let (number, admitted_at) = breaker.raw_permit_at(now)?.to_parts(); // Through C, and back.
/// let permit = RawPermit::from_parts(number, admitted_at);
/// breaker.settle_raw_at(permit, Outcome::success(), now);
/// breaker.raw_late_scores(permit).report_quality(0.9)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawPermit {
    raw: u64,
    admitted_at: Time,
}

impl RawPermit {
    /// The number that the component gave, and when. What the number means is the component's matter.
    #[inline]
    #[must_use]
    pub const fn to_parts(self) -> (u64, Time) {
        (self.raw, self.admitted_at)
    }

    /// What [`to_parts`](Self::to_parts) gave. Other numbers harm nothing: the breaker takes such a permit for stale or lost,
    /// or for one that it gave.
    #[inline]
    #[must_use]
    pub const fn from_parts(raw: u64, admitted_at: Time) -> Self {
        Self { raw, admitted_at }
    }
}

/// A permit of which there is nothing to know but this.
pub(super) struct Plain<'b> {
    pub(super) breaker: &'b Breaker,
    pub(super) raw: u64,
    pub(super) incarnation: u64,
    pub(super) admitted_at: Time,
}

impl<'b> Plain<'b> {
    #[inline(always)]
    pub(super) fn settle(self, outcome: &Outcome, now: Time) -> Settled<'b> {
        let Self { breaker, raw, incarnation, admitted_at } = self;
        let latency_nanos = latency_nanos(outcome, admitted_at, now);
        let (effect, change) = record(&breaker.0, raw, incarnation, outcome, latency_nanos, now);
        let raw = LateScores::permit_after(raw, outcome.kind, effect);
        let late = LateScores::new(Cow::Borrowed(breaker), raw, incarnation, false);
        Settled { effect, change, latency: Duration::from_nanos(latency_nanos), late }
    }
}

impl Breaker {
    /// [`permit_at`](Self::permit_at), as plain numbers.
    ///
    /// # Errors
    /// The refusal.
    #[inline]
    pub fn raw_permit_at(&self, now: Time) -> Result<RawPermit, Rejected> {
        let raw = match self.admitted(now) {
            Some(admitted) => admitted.granted().0,
            None => self.granted_or_refused(now)?.0,
        };
        Ok(RawPermit { raw, admitted_at: now })
    }

    /// [`Permit::settle_at`](crate::Permit::settle_at), for a permit as plain numbers. One that this breaker never gave is
    /// [lost](crate::Effect::Lost): nothing is recorded but that there was a call.
    #[inline]
    pub fn settle_raw_at(&self, permit: RawPermit, outcome: Outcome, now: Time) -> Settled<'_> {
        let RawPermit { raw, admitted_at } = permit;
        Plain { breaker: self, raw, incarnation: ANY_INCARNATION, admitted_at }.settle(&outcome, now)
    }

    /// For scores that come after a permit as plain numbers was settled. Of one that this breaker never gave they are
    /// [lost](crate::Effect::Lost). Whoever holds the permit knows how its call ended, and hands in none of a neutral one: the number
    /// alone doesn't say.
    #[must_use]
    pub fn raw_late_scores(&self, permit: RawPermit) -> LateScores<'_> {
        LateScores::new(Cow::Borrowed(self), permit.raw, ANY_INCARNATION, false)
    }
}
