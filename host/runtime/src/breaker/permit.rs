//! A permit as a value: it is settled once, and counts as cancelled where it is dropped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Breaker;
use crate::bindings::breaker as wit;
use crate::types::{Effect, FailureKind, InvalidScore, Outcome, OutcomeKind, Score, Signal, StateChange, Time};

/// The right to one call. Settle it when the call has ended.
///
/// One that is dropped counts as cancelled, which is neutral; dropped by a panic, as an error, since an exception is a
/// failure of the call.
#[must_use = "a permit that is dropped counts as a cancelled call"]
pub struct Permit {
    breaker: Breaker,
    /// `None`: the component failed, and the registry fails open.
    raw: Option<u64>,
    incarnation: u64,
    admitted_at: Time,
    score: Option<Score>,
    /// How the call ended, where that is known and only its scoring is under way.
    ended: Option<(Outcome, Time)>,
    settled: bool,
}

impl Permit {
    pub(super) fn new(breaker: Breaker, raw: Option<u64>, incarnation: u64, admitted_at: Time) -> Self {
        Self { breaker, raw, incarnation, admitted_at, score: None, ended: None, settled: false }
    }

    /// The breaker that gave it.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// When it was given.
    #[must_use]
    pub const fn admitted_at(&self) -> Time {
        self.admitted_at
    }

    /// Whether the call is guarded: `false` where the component had failed and the registry fails open.
    #[must_use]
    pub const fn is_guarded(&self) -> bool {
        self.raw.is_some()
    }

    /// Says how good the answer is, while the call is under way. The last report before the settlement counts; it wins
    /// over a scorer's.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality(&mut self, score: f64) -> Result<(), InvalidScore> {
        self.score = Some(Score::new(score)?);
        Ok(())
    }

    /// The score that was reported last.
    #[must_use]
    pub const fn reported(&self) -> Option<Score> {
        self.score
    }

    /// Takes over what was reported while the call was under way elsewhere.
    pub(crate) fn take_report(&mut self, reporter: &Reporter) {
        self.score = reporter.reported().or(self.score);
    }

    /// Settles it: the service answered.
    pub fn success(self) -> Settled {
        self.settle(Outcome::success())
    }

    /// Settles it: the service failed.
    pub fn failure(self, kind: FailureKind) -> Settled {
        self.settle(Outcome::failure(kind))
    }

    /// Settles it.
    pub fn settle(self, outcome: Outcome) -> Settled {
        let now = self.breaker.now();
        self.settle_at(outcome, now)
    }

    /// [`settle`](Self::settle), at `now`.
    pub fn settle_at(mut self, outcome: Outcome, now: Time) -> Settled {
        self.record(outcome, now)
    }

    /// Notes how the call ended, so that it counts even if nobody waits for its scoring.
    pub(crate) fn note_end(&mut self, outcome: Outcome, ended_at: Time) {
        self.ended = Some((outcome, ended_at));
    }

    fn record(&mut self, mut outcome: Outcome, now: Time) -> Settled {
        self.settled = true;
        let latency = outcome.latency.unwrap_or_else(|| now.saturating_since(self.admitted_at));
        if let Some(score) = self.score
            && !matches!(outcome.signal, Signal::Score(_))
        {
            outcome.signal = Signal::Score(score);
        }
        let shared = &self.breaker.0;
        let mut tally = shared.meters.tally();
        tally.settled(outcome.kind, latency);
        if let Signal::Score(score) = outcome.signal
            && !outcome.kind.is_neutral()
        {
            tally.scored(score);
        }
        drop(tally);
        let (effect, change) = match self.raw {
            Some(raw) => shared.record(raw, self.incarnation, outcome, latency, now),
            None => (Effect::Lost, None),
        };
        let late = LateScores {
            breaker: self.breaker.clone(),
            raw: self.raw.filter(|_| effect != Effect::Lost),
            incarnation: self.incarnation,
        };
        Settled { effect, change, latency, late }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let (outcome, now) = self.ended.take().unwrap_or_else(|| {
            let kind = if std::thread::panicking() { OutcomeKind::Error } else { OutcomeKind::Cancelled };
            (Outcome::new(kind), self.breaker.now())
        });
        // Settling twice is impossible, and nobody is there to hear what became of it.
        let _ = self.record(outcome, now);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("breaker", &self.breaker.name())
            .field("admitted_at", &self.admitted_at)
            .field("score", &self.score)
            .finish_non_exhaustive()
    }
}

/// What became of a settled permit.
#[derive(Clone, Debug)]
pub struct Settled {
    /// What became of the outcome.
    pub effect: Effect,
    /// The change of state that it made.
    pub change: Option<StateChange>,
    /// The latency that was recorded.
    pub latency: Duration,
    /// For scores that come later.
    pub late: LateScores,
}

impl Settled {
    /// Whether this call opened the circuit.
    #[must_use]
    pub fn tripped(&self) -> bool {
        self.change.as_ref().is_some_and(StateChange::is_trip)
    }
}

/// Takes scores that come after the call was settled: a judge's, a user's thumbs. Each is a sample of its own.
#[derive(Clone)]
pub struct LateScores {
    breaker: Breaker,
    raw: Option<u64>,
    incarnation: u64,
}

impl LateScores {
    /// The breaker whose call it was.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Hands in a score. [`Effect::Stale`]: the circuit has changed its state since, and the score is not wanted.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality(&self, score: f64) -> Result<(Effect, Option<StateChange>), InvalidScore> {
        self.report_quality_at(score, self.breaker.now())
    }

    /// [`report_quality`](Self::report_quality), at `now`.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality_at(&self, score: f64, now: Time) -> Result<(Effect, Option<StateChange>), InvalidScore> {
        let score = Score::new(score)?;
        let reported = self.report(wit::QualityReport::Score(score.get()), now);
        if !matches!(reported.0, Effect::Stale | Effect::Lost) {
            self.breaker.0.meters.tally().scored(score);
        }
        Ok(reported)
    }

    /// Says that no score will come, for an outcome whose score was pending.
    pub fn report_missing(&self) -> (Effect, Option<StateChange>) {
        self.report_missing_at(self.breaker.now())
    }

    /// [`report_missing`](Self::report_missing), at `now`.
    pub fn report_missing_at(&self, now: Time) -> (Effect, Option<StateChange>) {
        self.report(wit::QualityReport::Missing, now)
    }

    fn report(&self, report: wit::QualityReport, now: Time) -> (Effect, Option<StateChange>) {
        match self.raw {
            Some(raw) => self.breaker.0.report(raw, self.incarnation, report, now),
            None => (Effect::Lost, None),
        }
    }
}

impl fmt::Debug for LateScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateScores").field("breaker", &self.breaker.name()).finish_non_exhaustive()
    }
}

/// Where a score is reported while an asynchronous call is under way. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reporter(Arc<parking_lot::Mutex<Option<Score>>>);

impl Reporter {
    /// Says how good the answer is. The last report before the call ends counts; it wins over a scorer's.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality(&self, score: f64) -> Result<(), InvalidScore> {
        *self.0.lock() = Some(Score::new(score)?);
        Ok(())
    }

    /// The score that was reported last.
    #[must_use]
    pub fn reported(&self) -> Option<Score> {
        *self.0.lock()
    }
}
