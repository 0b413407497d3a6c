//! Scores answers beside the call: bounded queues, a few threads, and late scores. A breaker protects the next call, so
//! no answer waits for its score, unless its host asks for that.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::oneshot;

use super::workers::{Bounds, Lane, Place, Workers};
use super::{AnswerStream, Exchange, ExchangeHead, ScoreOutcome, Scorer, ScorerFailure};
use crate::breaker::{Breaker, LateScores, Reporter};
use crate::caught::caught;
use crate::types::Event;

/// How answers are scored beside the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoringSettings {
    /// Threads that score. Default 1; more than the scorer's `instances_max` would only wait.
    pub workers: usize,
    /// Answers that may wait for their score, and callers that may wait for theirs besides. Default 256 of each. Beyond,
    /// an answer is not scored, and that is counted; a caller is told [`ScorerFailure::Busy`].
    pub queue_max: usize,
    /// What is kept of a request, and of an answer. Default 64 KiB; the rest is cut off.
    pub answer_bytes_max: usize,
    /// How long an answer may wait; then its score is reported as missing. Default 30 s. A score that is under way is
    /// waited for, as long as the scorer's own deadline. Callers go before, and wait no longer than that deadline either.
    pub wait_max: Duration,
    /// Answers that may be scored piece by piece at once, each with an instance of its own. Default 2; at most one less
    /// than the scorer's `instances_max`, so that whole answers find one. The pieces of further streams are collected, up
    /// to `answer_bytes_max`, and scored at the end.
    pub streams_max: usize,
}

impl Default for ScoringSettings {
    fn default() -> Self {
        Self {
            workers: 1,
            queue_max: 256,
            answer_bytes_max: 64 << 10,
            wait_max: Duration::from_secs(30),
            streams_max: 2,
        }
    }
}

/// A scorer with threads of its own, for any number of breakers. Cheap to clone; when the last clone goes, what waits is
/// reported as missing.
#[derive(Clone)]
pub struct Scoring(Arc<Inner>);

pub(super) struct Inner {
    pub(super) scorer: Scorer,
    pub(super) settings: ScoringSettings,
    pub(super) workers: Workers,
    /// Streams that hold an instance, or are about to.
    pub(super) streams: Arc<AtomicUsize>,
}

/// A place in the queue of answers that are scored beside the call.
pub(crate) struct LatePlace(Scoring, Place);

impl Scoring {
    /// Starts the threads.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(scorer: Scorer, settings: ScoringSettings) -> std::io::Result<Self> {
        let bounds = |wait_max| Bounds { jobs_max: settings.queue_max, wait_max };
        let callers = bounds(settings.wait_max.min(scorer.settings().deadline));
        let workers = Workers::start(&scorer, settings.workers, callers, bounds(settings.wait_max))?;
        Ok(Self(Arc::new(Inner { scorer, settings, workers, streams: Arc::default() })))
    }

    /// The scorer.
    #[must_use]
    pub fn scorer(&self) -> &Scorer {
        &self.0.scorer
    }

    /// How it runs.
    #[must_use]
    pub fn settings(&self) -> &ScoringSettings {
        &self.0.settings
    }

    /// Answers and callers that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.workers.waiting()
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// A place in the queue, to be asked for before an outcome is settled as pending: `None` where it is full, which is
    /// counted, and then the outcome is settled without a score.
    pub(crate) fn reserve(&self, breaker: &Breaker) -> Option<LatePlace> {
        let place = self.0.workers.reserve(Lane::Late).ok();
        if place.is_none() {
            breaker.0.meters.scorer_dropped(self.0.scorer.name());
        }
        place.map(|place| LatePlace(self.clone(), place))
    }

    /// Scores an answer whose outcome was settled as pending: its score, or that there is none, comes as a late score.
    /// `false` where too many wait; that is counted, and reported as missing at once.
    pub fn submit(&self, late: LateScores<'_>, exchange: Exchange) -> bool {
        match self.reserve(late.breaker()) {
            Some(place) => {
                place.submit(late, exchange);
                true
            }
            None => {
                late.report_missing();
                false
            }
        }
    }

    /// Begins to score an answer that comes in pieces, and of which only the caller wants to know.
    #[must_use]
    pub fn stream(&self, head: ExchangeHead, content_type: &str) -> AnswerStream {
        AnswerStream::begin(self, None, head, content_type)
    }

    /// Begins to score an answer of a breaker's call that comes in pieces. The score goes to the call's reporter, so into
    /// its outcome if the call is still under way by the end, or else to the breaker as a late score.
    #[must_use]
    pub fn stream_for(&self, reporter: Reporter, head: ExchangeHead, content_type: &str) -> AnswerStream {
        AnswerStream::begin(self, Some(reporter), head, content_type)
    }

    /// Scores an exchange of a breaker's call now, on this thread, whose stack must be as [`Scorer::score`] says. That the scorer
    /// fails is told, and counted with the breaker.
    #[must_use]
    pub fn score_now(&self, breaker: &Breaker, mut exchange: Exchange) -> ScoreOutcome {
        self.cut(&mut exchange);
        let outcome = self.0.scorer.score(&exchange);
        self.tell(breaker, &outcome);
        outcome
    }

    /// [`score`](Self::score), for a breaker's call.
    pub(crate) async fn score_for(&self, breaker: &Breaker, exchange: Exchange) -> ScoreOutcome {
        let outcome = self.score(exchange).await;
        self.tell(breaker, &outcome);
        outcome
    }

    /// Scores an exchange now, on one of the threads, before all answers that nobody waits for. It waits for a thread no
    /// longer than the scorer's deadline, give or take what the thread is at. Dropped while it waits, it isn't scored.
    pub async fn score(&self, mut exchange: Exchange) -> ScoreOutcome {
        self.cut(&mut exchange);
        self.ask(move |scorer| scorer.score(&exchange)).await
    }

    /// Does something on one of the threads that somebody waits for.
    pub(super) async fn ask(&self, work: impl FnOnce(&Scorer) -> ScoreOutcome + Send + 'static) -> ScoreOutcome {
        let place = match self.0.workers.reserve(Lane::Callers) {
            Ok(place) => place,
            Err(busy) => return ScoreOutcome::Failed(busy),
        };
        let (sender, receiver) = oneshot::channel();
        place.fill(Box::new(move |turn| {
            if !sender.is_closed() {
                // Its caller may go away at any time.
                let _ = sender.send(run(turn, work));
            }
        }));
        receiver.await.unwrap_or_else(|_| ScoreOutcome::Failed(host_panicked()))
    }

    pub(super) fn cut(&self, exchange: &mut Exchange) {
        exchange.answer.cut_to(self.0.settings.answer_bytes_max);
        exchange.head.request.cut_to(self.0.settings.answer_bytes_max);
    }

    pub(super) fn tell(&self, breaker: &Breaker, outcome: &ScoreOutcome) {
        tell(breaker, &self.0.scorer, outcome);
    }
}

impl fmt::Debug for Scoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoring").field("scorer", self.0.scorer.name()).finish_non_exhaustive()
    }
}

impl LatePlace {
    /// Puts an answer into the place. Its debt is paid whatever happens.
    pub(crate) fn submit(self, late: LateScores<'_>, mut exchange: Exchange) {
        let late = late.into_owned();
        let Self(scoring, place) = self;
        scoring.cut(&mut exchange);
        let scorer = scoring.0.scorer.clone();
        place.fill(Box::new(move |turn| {
            let outcome = run(turn, |scorer| scorer.score(&exchange));
            tell(late.breaker(), &scorer, &outcome);
            late.pay(outcome.score());
        }));
    }

    /// Puts something else into it that ends in an outcome of a breaker's call.
    pub(super) fn fill(self, reporter: Reporter, work: impl FnOnce(&Scorer) -> ScoreOutcome + Send + 'static) {
        let Self(scoring, place) = self;
        let scorer = scoring.0.scorer.clone();
        place.fill(Box::new(move |turn| {
            let outcome = run(turn, work);
            tell(reporter.breaker(), &scorer, &outcome);
            hand_in(&reporter, &outcome);
        }));
    }
}

/// What a job's turn comes to, on a thread that must not panic.
fn run(turn: Result<&Scorer, ScorerFailure>, work: impl FnOnce(&Scorer) -> ScoreOutcome) -> ScoreOutcome {
    match turn {
        Ok(scorer) => caught("scoring", || work(scorer)).unwrap_or_else(|| ScoreOutcome::Failed(host_panicked())),
        Err(failure) => ScoreOutcome::Failed(failure),
    }
}

pub(super) fn host_panicked() -> ScorerFailure {
    ScorerFailure::Trapped("the host panicked".to_owned())
}

/// Gives a call's reporter what a scorer said.
pub(super) fn hand_in(reporter: &Reporter, outcome: &ScoreOutcome) {
    match outcome.score() {
        Some(score) => reporter.report_scored(score),
        None => reporter.report_missing(),
    }
}

/// Tells of a failure: an event, a metric, a line in the log. Whoever listens can't harm the call by it.
fn tell(breaker: &Breaker, scorer: &Scorer, outcome: &ScoreOutcome) {
    let ScoreOutcome::Failed(failure) = outcome else { return };
    caught("telling of a scorer's failure", || {
        let home = &breaker.0.home;
        breaker.0.meters.scorer_failed(scorer.name(), failure);
        let event = Event::ScorerFailed {
            breaker: Arc::clone(breaker.name()),
            scorer: Arc::clone(scorer.name()),
            failure: failure.clone(),
        };
        home.hub.queue(&mut vec![event]);
        home.hub.deliver();
    });
}
