//! A permit as a value: it is settled once, and counts as cancelled where it is dropped.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::ptr;
use std::time::Duration;

use super::leased::Admitted;
use super::operate::Recorded;
use super::raw::Plain;
use super::standing::Standing;
use super::{Breaker, LateScores, Reporter, Settled, Shared};
use crate::caught::caught;
use crate::types::{Effect, FailureKind, InvalidScore, Outcome, OutcomeKind, Score, Signal, Time, span_nanos};

/// The right to one call. Settle it when the call has ended. It borrows its breaker, so that busy threads needn't meet to
/// count who holds it; [`into_owned`](Self::into_owned) makes one that goes anywhere.
///
/// One that is dropped counts as cancelled, which is neutral, by a panic too: whose panic it was can't be known. The calls
/// that a breaker or a guard makes do know, and a panic of the call itself is then an error, since an exception is a
/// failure.
#[must_use = "a permit that is dropped counts as a cancelled call"]
#[repr(C)]
pub struct Permit<'b> {
    /// As the component gave it, or [`UNGUARDED`].
    raw: u64,
    standing: Standing,
    admitted_at: Time,
    /// What was reported last; NaN where nothing was.
    score: f64,
    /// What few calls need: a permit is moved about, so that it has to be small.
    rest: Option<Box<Rest>>,
    /// Last, since what a permit is moved by is wider than what it was written by, but for the last word; and a processor
    /// that reads wider than it wrote waits, where all else that a call needs is found through this.
    breaker: Cow<'b, Breaker>,
}

#[derive(Default)]
struct Rest {
    /// Where scores are reported as well, once somebody has asked for one.
    reporter: Option<Reporter>,
    /// How the call ended, where that is known and only its scoring is under way.
    ended: Option<(Outcome, Time)>,
}

/// No permit: the component failed, and the registry fails open. No component gives such a one.
pub(super) const UNGUARDED: u64 = u64::MAX;

/// No permit any more: the call's outcome was neutral, and nobody wants its scores. No component gives such a one, nor anything in between.
pub(super) const NEUTRAL: u64 = u64::MAX - 1;

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
    #[inline(always)]
    pub(super) fn new(breaker: &'b Breaker, raw: u64, incarnation: u64, admitted_at: Time) -> Self {
        Self {
            breaker: Cow::Borrowed(breaker),
            raw,
            standing: Standing::new(incarnation),
            admitted_at,
            score: f64::NAN,
            rest: None,
        }
    }

    /// The same permit, which holds its breaker: for a call that outlives the one at hand, in another task perhaps.
    pub fn into_owned(mut self) -> Permit<'static> {
        let owned = Permit {
            breaker: Cow::Owned(self.breaker().clone()),
            raw: self.raw,
            standing: self.standing,
            admitted_at: self.admitted_at,
            score: self.score,
            rest: self.rest.take(),
        };
        // What is left behind is settled, as far as it is concerned.
        self.standing.set(Standing::SETTLED, true);
        owned
    }

    /// The permit as it was given, if nothing has come to it since but a score.
    #[inline(always)]
    fn plain(&self) -> Option<Plain<'b>> {
        match (&self.breaker, &self.rest) {
            (Cow::Borrowed(breaker), None) if self.raw != UNGUARDED => {
                let (raw, incarnation, admitted_at) = (self.raw, self.standing.incarnation(), self.admitted_at);
                Some(Plain { breaker, raw, incarnation, admitted_at })
            }
            _ => None,
        }
    }

    /// The breaker that gave it.
    #[must_use]
    #[inline]
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// When it was given.
    #[must_use]
    #[inline]
    pub const fn admitted_at(&self) -> Time {
        self.admitted_at
    }

    /// Whether the call is guarded: `false` where the component had failed and the registry fails open.
    #[must_use]
    pub const fn is_guarded(&self) -> bool {
        self.raw != UNGUARDED
    }

    /// Says how good the answer is, while the call is under way. The last report before the settlement counts; it wins
    /// over a scorer's.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    #[inline]
    pub fn report_quality(&mut self, score: f64) -> Result<(), InvalidScore> {
        let score = Score::new(score)?;
        if self.rest.is_some() {
            return self.report_to_reporter(score);
        }
        self.score = score.get();
        Ok(())
    }

    /// Few calls have what it takes to be asked for.
    #[cold]
    fn report_to_reporter(&mut self, score: Score) -> Result<(), InvalidScore> {
        match self.asked_reporter() {
            Some(reporter) => drop(reporter.report_quality(score.get())?),
            None => self.score = score.get(),
        }
        Ok(())
    }

    /// The score that was reported last.
    #[must_use]
    pub fn reported(&self) -> Option<Score> {
        self.own_score().or_else(|| self.asked_reporter()?.reported())
    }

    /// What was reported on the permit itself.
    #[inline]
    fn own_score(&self) -> Option<Score> {
        // Only scores are kept, and NaN is none.
        Score::known(self.score)
    }

    /// The reporter, if somebody has asked for one.
    fn asked_reporter(&self) -> Option<&Reporter> {
        self.rest.as_ref()?.reporter.as_ref()
    }

    /// Where others report this call's score: while it is under way, or after it. Once one has been asked for, the reporters
    /// owe the score of an outcome that is settled as pending, and no longer the holder of [`Settled::late`]: see
    /// [`Reporter`].
    pub fn reporter(&mut self) -> Reporter {
        let own_score = self.own_score();
        let (breaker, score) = (&self.breaker, &mut self.score);
        let reporter = &mut self.rest.get_or_insert_default().reporter;
        let made = reporter.get_or_insert_with(|| {
            *score = f64::NAN;
            Reporter::new(Breaker::clone(breaker), own_score)
        });
        made.clone()
    }

    /// Ends the time in which reports go into the outcome: the last of them.
    pub(crate) fn close_reports(&mut self) -> Option<Score> {
        if !self.standing.is(Standing::CLOSED) {
            self.standing.set(Standing::CLOSED, true);
            if self.score.is_nan() {
                let reported = self.asked_reporter().and_then(Reporter::take);
                self.score = reported.map_or(f64::NAN, Score::get);
            }
        }
        self.own_score()
    }

    /// Runs the guarded code, whose panic counts as an error.
    pub(crate) fn in_call<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        self.standing.set(Standing::IN_CALL, true);
        let result = run(self);
        self.standing.set(Standing::IN_CALL, false);
        result
    }

    /// [`in_call`](Self::in_call) around each poll of a future.
    pub(crate) async fn in_future<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| self.in_call(|_| future.as_mut().poll(cx))).await
    }

    /// Settles it: the service answered.
    #[inline(always)]
    pub fn success(self) -> Settled<'b> {
        self.settle(Outcome::success())
    }

    /// Settles it: the service failed.
    #[inline(always)]
    pub fn failure(self, kind: FailureKind) -> Settled<'b> {
        self.settle(Outcome::failure(kind))
    }

    /// Settles it.
    #[inline(always)]
    pub fn settle(self, outcome: Outcome) -> Settled<'b> {
        let now = self.breaker.now();
        self.settle_at(outcome, now)
    }

    /// [`settle`](Self::settle), at `now`.
    #[inline(always)]
    pub fn settle_at(self, outcome: Outcome, now: Time) -> Settled<'b> {
        self.settle_owed_by(Debtor::Holder, outcome, now)
    }

    /// [`settle_at`](Self::settle_at), where it is known who owes a score.
    #[inline(always)]
    pub(crate) fn settle_owed_by(self, debtor: Debtor, mut outcome: Outcome, now: Time) -> Settled<'b> {
        add_reported(&mut outcome, self.own_score());
        if outcome.signal != Signal::Pending
            && let Some(plain) = self.plain()
        {
            // There is nothing in it that wants to be dropped.
            std::mem::forget(self);
            return plain.settle(&outcome, now);
        }
        self.settle_any(debtor, outcome, now)
    }

    /// Apart from the plain ones, which are settled where they came to lie.
    #[inline(never)]
    fn settle_any(mut self, debtor: Debtor, outcome: Outcome, now: Time) -> Settled<'b> {
        self.record(debtor, outcome, now)
    }

    /// A permit for the guarded code that runs next: if it is dropped meanwhile, that code has panicked.
    #[inline(always)]
    pub(crate) fn for_call(breaker: &'b Breaker, raw: u64, incarnation: u64, admitted_at: Time) -> Self {
        let mut permit = Self::new(breaker, raw, incarnation, admitted_at);
        permit.standing.set(Standing::IN_CALL, true);
        permit
    }

    /// Ends a [call](Self::for_call) whose answer is a success, and keeps that, where the component has allowed it: whether it
    /// did. The permit is settled then, without having been moved about, and there is nothing in it that wants to be dropped.
    #[inline(always)]
    pub(crate) fn keep_success(&mut self, breaker: &Breaker, admitted: Admitted<'_>, now: Time) -> bool {
        // The guarded code may have asked for a reporter, or have put another permit in its place.
        let same =
            self.raw == admitted.granted().0 && matches!(self.breaker, Cow::Borrowed(own) if ptr::eq(own, breaker));
        if self.rest.is_some() || !same {
            return false;
        }
        let latency = now.nanos_since(self.admitted_at);
        let kept = admitted.keep_success(latency, self.own_score().map(Score::units), now);
        if kept {
            self.standing.set(Standing::SETTLED, true);
        }
        kept
    }

    /// Ends a [call](Self::for_call).
    pub(crate) fn end_call(&mut self) {
        self.standing.set(Standing::IN_CALL, false);
    }

    /// Notes how the call ended, so that it counts even if nobody waits for its scoring.
    pub(crate) fn note_end(&mut self, outcome: Outcome, ended_at: Time) {
        self.rest.get_or_insert_default().ended = Some((outcome, ended_at));
    }

    fn record(&mut self, debtor: Debtor, mut outcome: Outcome, now: Time) -> Settled<'b> {
        self.standing.set(Standing::SETTLED, true);
        add_reported(&mut outcome, self.close_reports());
        let owed = self.reporters_owe(debtor, &outcome);
        let latency_nanos = latency_nanos(&outcome, self.admitted_at, now);
        let (effect, change) =
            record(&self.breaker.0, self.raw, self.standing.incarnation(), &outcome, latency_nanos, now);
        let raw = LateScores::permit_after(self.raw, outcome.kind, effect);
        let breaker = match &self.breaker {
            Cow::Borrowed(breaker) => Cow::Borrowed(*breaker),
            Cow::Owned(breaker) => Cow::Owned(breaker.clone()),
        };
        let late = LateScores::new(breaker, raw, self.standing.incarnation(), owed);
        if let Some(reporter) = self.asked_reporter() {
            reporter.end(late.clone().into_owned());
        }
        Settled { effect, change, latency: Duration::from_nanos(latency_nanos), late }
    }

    /// Whether this call's reporters owe its score from now on. If so, there is one: the permit's own, at least, with
    /// which the debt is paid where nobody else holds one.
    fn reporters_owe(&mut self, debtor: Debtor, outcome: &Outcome) -> bool {
        let pending = outcome.signal == Signal::Pending && outcome.kind == OutcomeKind::Success;
        let owe = pending
            && match debtor {
                Debtor::Holder => self.asked_reporter().is_some(),
                Debtor::Reporters => true,
                Debtor::Scorer => false,
            };
        if owe {
            let _ = self.reporter();
        }
        owe
    }
}

/// What was reported counts, unless the outcome has a score of its own.
#[inline(always)]
fn add_reported(outcome: &mut Outcome, reported: Option<Score>) {
    if let Some(score) = reported
        && !matches!(outcome.signal, Signal::Score(_))
    {
        outcome.signal = Signal::Score(score);
    }
}

/// The latency that counts.
#[inline(always)]
pub(super) fn latency_nanos(outcome: &Outcome, admitted_at: Time, now: Time) -> u64 {
    outcome.latency.map_or_else(|| now.nanos_since(admitted_at), span_nanos)
}

/// Counts an outcome, and keeps it for later or records it at once.
#[inline(always)]
pub(super) fn record(
    shared: &Shared,
    raw: u64,
    incarnation: u64,
    outcome: &Outcome,
    latency_nanos: u64,
    now: Time,
) -> Recorded {
    let score = outcome.score().filter(|_| !outcome.kind.is_neutral()).map(Score::units);
    shared.tallies().settled(outcome.kind, latency_nanos, score);
    if raw == UNGUARDED {
        return (Effect::Lost, None);
    }
    match shared.leased.keep(raw, outcome, latency_nanos, now) {
        Some(effect) => (effect, None),
        None => shared.record(raw, incarnation, outcome, latency_nanos, now),
    }
}

impl Drop for Permit<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.standing.is(Standing::SETTLED) {
            self.give_up();
        }
    }
}

impl Permit<'_> {
    /// Nobody has settled it.
    #[cold]
    fn give_up(&mut self) {
        let ended = self.rest.as_mut().and_then(|rest| rest.ended.take());
        let (outcome, now) = ended.unwrap_or_else(|| {
            let kind = if self.standing.is(Standing::IN_CALL) { OutcomeKind::Error } else { OutcomeKind::Cancelled };
            // A clock that panics may be why it is dropped, and a second panic would end the process.
            (Outcome::new(kind), self.breaker.now_unless_it_panics().unwrap_or(self.admitted_at))
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
            .field("score", &self.own_score())
            .finish_non_exhaustive()
    }
}
