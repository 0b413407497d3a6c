//! A permit as a value: it is settled once, and counts as cancelled where it is dropped.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use super::{Breaker, LateScores, Reporter};
use crate::caught::caught;
use crate::types::{Effect, FailureKind, InvalidScore, Outcome, OutcomeKind, Score, Signal, StateChange, Time};

/// The right to one call. Settle it when the call has ended. It borrows its breaker, so that busy threads needn't meet to
/// count who holds it; [`into_owned`](Self::into_owned) makes one that goes anywhere.
///
/// One that is dropped counts as cancelled, which is neutral, by a panic too: whose panic it was can't be known. The calls
/// that a breaker or a guard makes do know, and a panic of the call itself is then an error, since an exception is a
/// failure.
#[must_use = "a permit that is dropped counts as a cancelled call"]
pub struct Permit<'b> {
    breaker: Cow<'b, Breaker>,
    /// `None`: the component failed, and the registry fails open.
    raw: Option<u64>,
    incarnation: u64,
    admitted_at: Time,
    score: Option<Score>,
    /// Where scores are reported as well, once somebody has asked for one.
    reporter: Option<Reporter>,
    /// The guarded code runs: if the permit is dropped now, that code has panicked.
    in_call: bool,
    /// Reports go no longer into the outcome.
    closed: bool,
    /// How the call ended, where that is known and only its scoring is under way.
    ended: Option<(Outcome, Time)>,
    settled: bool,
}

/// Who owes the score of an outcome that is settled as pending.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Debtor {
    /// The reporters, if one was ever asked for; else whoever gets [`Settled::late`].
    Holder,
    /// The reporters. Where none is about, it is missing.
    Reporters,
    /// A scorer.
    Scorer,
}

impl<'b> Permit<'b> {
    pub(super) fn new(breaker: &'b Breaker, raw: Option<u64>, incarnation: u64, admitted_at: Time) -> Self {
        Self {
            breaker: Cow::Borrowed(breaker),
            raw,
            incarnation,
            admitted_at,
            score: None,
            reporter: None,
            in_call: false,
            closed: false,
            ended: None,
            settled: false,
        }
    }

    /// The same permit, which holds its breaker: for a call that outlives the one at hand, in another task perhaps.
    pub fn into_owned(mut self) -> Permit<'static> {
        // What is left behind is settled, as far as it is concerned.
        self.settled = true;
        Permit {
            breaker: Cow::Owned(self.breaker().clone()),
            raw: self.raw,
            incarnation: self.incarnation,
            admitted_at: self.admitted_at,
            score: self.score,
            reporter: self.reporter.take(),
            in_call: self.in_call,
            closed: self.closed,
            ended: self.ended.take(),
            settled: false,
        }
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
        let score = Score::new(score)?;
        match &self.reporter {
            Some(reporter) => drop(reporter.report_quality(score.get())?),
            None => self.score = Some(score),
        }
        Ok(())
    }

    /// The score that was reported last.
    #[must_use]
    pub fn reported(&self) -> Option<Score> {
        self.score.or_else(|| self.reporter.as_ref()?.reported())
    }

    /// Where others report this call's score: while it is under way, or after it. Once one has been asked for, the reporters
    /// owe the score of an outcome that is settled as pending, and no longer the holder of [`Settled::late`]: see
    /// [`Reporter`].
    pub fn reporter(&mut self) -> Reporter {
        let (breaker, score) = (&self.breaker, &mut self.score);
        self.reporter.get_or_insert_with(|| Reporter::new(Breaker::clone(breaker), score.take())).clone()
    }

    /// Ends the time in which reports go into the outcome: the last of them.
    pub(crate) fn close_reports(&mut self) -> Option<Score> {
        if !self.closed {
            self.closed = true;
            self.score = self.score.or_else(|| self.reporter.as_ref()?.take());
        }
        self.score
    }

    /// Runs the guarded code, whose panic counts as an error.
    pub(crate) fn in_call<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        self.in_call = true;
        let result = run(self);
        self.in_call = false;
        result
    }

    /// [`in_call`](Self::in_call) around each poll of a future.
    pub(crate) async fn in_future<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| self.in_call(|_| future.as_mut().poll(cx))).await
    }

    /// Settles it: the service answered.
    pub fn success(self) -> Settled<'b> {
        self.settle(Outcome::success())
    }

    /// Settles it: the service failed.
    pub fn failure(self, kind: FailureKind) -> Settled<'b> {
        self.settle(Outcome::failure(kind))
    }

    /// Settles it.
    pub fn settle(self, outcome: Outcome) -> Settled<'b> {
        let now = self.breaker.now();
        self.settle_at(outcome, now)
    }

    /// [`settle`](Self::settle), at `now`.
    pub fn settle_at(self, outcome: Outcome, now: Time) -> Settled<'b> {
        self.settle_owed_by(Debtor::Holder, outcome, now)
    }

    /// [`settle_at`](Self::settle_at), where it is known who owes a score.
    pub(crate) fn settle_owed_by(mut self, debtor: Debtor, outcome: Outcome, now: Time) -> Settled<'b> {
        self.record(debtor, outcome, now)
    }

    /// Notes how the call ended, so that it counts even if nobody waits for its scoring.
    pub(crate) fn note_end(&mut self, outcome: Outcome, ended_at: Time) {
        self.ended = Some((outcome, ended_at));
    }

    fn record(&mut self, debtor: Debtor, mut outcome: Outcome, now: Time) -> Settled<'b> {
        self.settled = true;
        let latency = outcome.latency.unwrap_or_else(|| now.saturating_since(self.admitted_at));
        if let Some(score) = self.close_reports()
            && !matches!(outcome.signal, Signal::Score(_))
        {
            outcome.signal = Signal::Score(score);
        }
        let owed = self.reporters_owe(debtor, &outcome);
        let shared = &self.breaker.0;
        let kept = self.raw.and_then(|raw| shared.leased.keep(raw, &outcome, latency, now));
        let (effect, change) = match (kept, self.raw) {
            (Some(effect), _) => (effect, None),
            (None, raw) => {
                let mut tally = shared.meters.tally();
                tally.settled(outcome.kind, latency);
                if let Signal::Score(score) = outcome.signal
                    && !outcome.kind.is_neutral()
                {
                    tally.scored(score);
                }
                drop(tally);
                raw.map_or((Effect::Lost, None), |raw| shared.record(raw, self.incarnation, outcome, latency, now))
            }
        };
        let raw = self.raw.filter(|_| effect != Effect::Lost);
        let breaker = match &self.breaker {
            Cow::Borrowed(breaker) => Cow::Borrowed(*breaker),
            Cow::Owned(breaker) => Cow::Owned(breaker.clone()),
        };
        let late = LateScores::new(breaker, raw, self.incarnation, owed);
        if let Some(reporter) = &self.reporter {
            reporter.end((!outcome.kind.is_neutral()).then(|| late.clone().into_owned()));
        }
        Settled { effect, change, latency, late }
    }

    /// Whether this call's reporters owe its score from now on. If so, there is one: the permit's own, at least, with
    /// which the debt is paid where nobody else holds one.
    fn reporters_owe(&mut self, debtor: Debtor, outcome: &Outcome) -> bool {
        let pending = outcome.signal == Signal::Pending && outcome.kind == OutcomeKind::Success;
        let owe = pending
            && match debtor {
                Debtor::Holder => self.reporter.is_some(),
                Debtor::Reporters => true,
                Debtor::Scorer => false,
            };
        if owe {
            let _ = self.reporter();
        }
        owe
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let (outcome, now) = self.ended.take().unwrap_or_else(|| {
            let kind = if self.in_call { OutcomeKind::Error } else { OutcomeKind::Cancelled };
            // A clock that panics may be why it is dropped, and a second panic would end the process.
            (Outcome::new(kind), caught("the clock", || self.breaker.now()).unwrap_or(self.admitted_at))
        });
        // Settling twice is impossible, and nobody is there to hear what became of it.
        let _ = caught("settling a permit", || self.record(Debtor::Reporters, outcome, now));
    }
}

impl fmt::Debug for Permit<'_> {
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
pub struct Settled<'b> {
    /// What became of the outcome.
    pub effect: Effect,
    /// The change of state that it made.
    pub change: Option<StateChange>,
    /// The latency that was recorded.
    pub latency: Duration,
    /// For scores that come later.
    pub late: LateScores<'b>,
}

impl Settled<'_> {
    /// Whether this call opened the circuit.
    #[must_use]
    pub fn tripped(&self) -> bool {
        self.change.as_ref().is_some_and(StateChange::is_trip)
    }
}
