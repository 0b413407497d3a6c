//! Scores that come after their call was settled.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Breaker;
use super::permit::{NEUTRAL, UNGUARDED};
use crate::bindings::breaker as wit;
use crate::caught::caught;
use crate::types::{Effect, InvalidScore, OutcomeKind, Score, StateChange, Time};

/// Takes scores that come after the call was settled: a judge's, a user's thumbs. Each is a sample of its own.
///
/// Scores of a call whose outcome was neutral are wanted by nobody, whatever they say: they are [ignored](Effect::Ignored).
#[derive(Clone)]
pub struct LateScores<'b> {
    breaker: Cow<'b, Breaker>,
    /// As the component gave it, [`UNGUARDED`], or [`NEUTRAL`].
    raw: u64,
    incarnation: u64,
    /// Set while the call's reporters owe a score; `None` where they never did.
    debt: Option<Arc<AtomicBool>>,
}

impl<'b> LateScores<'b> {
    #[inline]
    pub(super) fn new(breaker: Cow<'b, Breaker>, raw: u64, incarnation: u64, owed_by_reporters: bool) -> Self {
        let debt = owed_by_reporters.then(|| Arc::new(AtomicBool::new(true)));
        Self { breaker, raw, incarnation, debt }
    }

    /// What late scores belong to, once a permit was settled by an outcome of this kind, with this effect.
    #[inline(always)]
    pub(super) fn permit_after(raw: u64, kind: OutcomeKind, effect: Effect) -> u64 {
        if kind.is_neutral() {
            NEUTRAL
        } else if effect == Effect::Lost {
            UNGUARDED
        } else {
            raw
        }
    }

    /// The same, holding its breaker: for a judge that speaks much later.
    #[must_use]
    pub fn into_owned(self) -> LateScores<'static> {
        let Self { breaker, raw, incarnation, debt } = self;
        LateScores { breaker: Cow::Owned(breaker.into_owned()), raw, incarnation, debt }
    }

    /// The breaker whose call it was.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Hands in a score. [`Effect::Stale`]: the circuit has changed its state since, and the score is not wanted;
    /// [`Effect::Ignored`]: the call's outcome was neutral.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality(&self, score: f64) -> Result<(Effect, Option<Box<StateChange>>), InvalidScore> {
        let score = Score::new(score)?;
        Ok(self.report_score(score, self.breaker.now()))
    }

    /// [`report_quality`](Self::report_quality), at `now`.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality_at(&self, score: f64, now: Time) -> Result<(Effect, Option<Box<StateChange>>), InvalidScore> {
        Ok(self.report_score(Score::new(score)?, now))
    }

    pub(super) fn report_score(&self, score: Score, now: Time) -> (Effect, Option<Box<StateChange>>) {
        if self.raw < NEUTRAL
            && let Some(effect) = self.breaker.0.leased.keep_late(self.raw, score, now)
        {
            self.take_debt();
            self.breaker.0.meters.tallies.scored(score);
            return (effect, None);
        }
        let reported = self.report(wit::QualityReport::Score(score.get()), now);
        if self.raw != NEUTRAL && !matches!(reported.0, Effect::Stale | Effect::Lost) {
            self.breaker.0.meters.tallies.scored(score);
        }
        reported
    }

    /// Says that no score will come, for an outcome whose score was pending.
    pub fn report_missing(&self) -> (Effect, Option<Box<StateChange>>) {
        self.report_missing_at(self.breaker.now())
    }

    /// [`report_missing`](Self::report_missing), at `now`.
    pub fn report_missing_at(&self, now: Time) -> (Effect, Option<Box<StateChange>>) {
        self.report(wit::QualityReport::Missing, now)
    }

    fn report(&self, report: wit::QualityReport, now: Time) -> (Effect, Option<Box<StateChange>>) {
        self.take_debt();
        match self.raw {
            UNGUARDED => (Effect::Lost, None),
            NEUTRAL => (Effect::Ignored, None),
            raw => self.breaker.0.report(raw, self.incarnation, report, now),
        }
    }

    /// Takes the debt over from the reporters: whether they had one.
    pub(super) fn take_debt(&self) -> bool {
        self.debt.as_ref().is_some_and(|debt| debt.swap(false, Ordering::AcqRel))
    }

    /// Pays what is owed, with a score or without, on a thread that must not panic: a clock or a log that does changes
    /// nothing of it.
    pub(crate) fn pay(&self, score: Option<Score>) {
        // Time that runs backwards is taken as the latest that was seen.
        let now = self.breaker.now_unless_it_panics().unwrap_or(Time::ZERO);
        // What panics in here is told of the record, and so comes after it.
        caught("telling of a late score", || match score {
            Some(score) => self.report_score(score, now),
            None => self.report_missing_at(now),
        });
    }
}

impl fmt::Debug for LateScores<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateScores").field("breaker", &self.breaker.name()).finish_non_exhaustive()
    }
}
