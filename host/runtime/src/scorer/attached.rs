//! Scores answers beside the call: a bounded queue, a few threads, and late scores. A breaker protects the next call, so
//! no answer waits for its score, unless its host asks for that.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{Exchange, ScoreOutcome, Scorer, ScorerFailure};
use crate::breaker::{Breaker, LateScores};
use crate::types::Event;

/// How answers are scored beside the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoringSettings {
    /// Threads that score. Default 1; more than the scorer's `instances_max` would only wait.
    pub workers: usize,
    /// Answers that may wait. Default 256. Beyond, an answer is not scored, and that is counted.
    pub queue_max: usize,
    /// What is kept of a request, and of an answer. Default 64 KiB; the rest is cut off.
    pub answer_bytes_max: usize,
    /// How long an answer may wait; then its score is reported as missing. Default 30 s. A score that is under way is
    /// waited for, as long as the scorer's own deadline.
    pub wait_max: Duration,
}

impl Default for ScoringSettings {
    fn default() -> Self {
        Self { workers: 1, queue_max: 256, answer_bytes_max: 64 << 10, wait_max: Duration::from_secs(30) }
    }
}

/// A scorer with threads of its own, for any number of breakers. Cheap to clone; when the last clone goes, what waits is
/// reported as missing.
#[derive(Clone)]
pub struct Scoring(Arc<Owner>);

struct Owner {
    scorer: Scorer,
    settings: ScoringSettings,
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

struct Queue {
    jobs: VecDeque<Job>,
    /// Jobs that wait, and places that are reserved for some to come.
    taken: usize,
    closed: bool,
}

struct Job {
    exchange: Exchange,
    queued_at: Instant,
    to: Recipient,
}

enum Recipient {
    Late(LateScores),
    Caller(oneshot::Sender<ScoreOutcome>),
}

/// A place in the queue. Dropped unused, it is free again.
pub(crate) struct Place {
    scoring: Scoring,
    used: bool,
}

impl Scoring {
    /// Starts the threads.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(scorer: Scorer, settings: ScoringSettings) -> std::io::Result<Self> {
        let queue = Queue { jobs: VecDeque::new(), taken: 0, closed: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), filled: Condvar::new() });
        let scoring = Self(Arc::new(Owner { scorer: scorer.clone(), settings, shared: Arc::clone(&shared) }));
        for number in 0..scoring.0.settings.workers.max(1) {
            let (shared, scorer) = (Arc::clone(&shared), scorer.clone());
            let wait_max = scoring.0.settings.wait_max;
            thread::Builder::new()
                .name(format!("softfuse-scorer-{number}"))
                .spawn(move || work(&shared, &scorer, wait_max))?;
        }
        Ok(scoring)
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

    /// Answers that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.shared.queue.lock().jobs.len()
    }

    /// A place in the queue, to be asked for before an outcome is settled as pending: `None` where it is full, which is
    /// counted, and then the outcome is settled without a score.
    pub(crate) fn reserve(&self, breaker: &Breaker) -> Option<Place> {
        let place = self.reserve_uncounted();
        if place.is_none() {
            breaker.0.meters.scorer_dropped(self.0.scorer.name());
        }
        place
    }

    fn reserve_uncounted(&self) -> Option<Place> {
        let mut queue = self.0.shared.queue.lock();
        if queue.taken >= self.0.settings.queue_max.max(1) {
            return None;
        }
        queue.taken += 1;
        Some(Place { scoring: self.clone(), used: false })
    }

    /// Scores an answer whose outcome was settled as pending: its score, or that there is none, comes as a late score.
    /// `false` where too many wait; that is counted, and reported as missing at once.
    pub fn submit(&self, late: LateScores, exchange: Exchange) -> bool {
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

    /// Scores an exchange now, on this thread.
    pub(crate) fn score_now(&self, breaker: &Breaker, mut exchange: Exchange) -> ScoreOutcome {
        self.cut(&mut exchange);
        let outcome = self.0.scorer.score_owned(exchange);
        tell(breaker, &self.0.scorer, &outcome);
        outcome
    }

    /// [`score`](Self::score), for a breaker's call.
    pub(crate) async fn score_for(&self, breaker: &Breaker, exchange: Exchange) -> ScoreOutcome {
        let outcome = self.score(exchange).await;
        tell(breaker, &self.0.scorer, &outcome);
        outcome
    }

    /// Scores an exchange now, on one of the threads.
    pub async fn score(&self, mut exchange: Exchange) -> ScoreOutcome {
        self.cut(&mut exchange);
        let busy = || ScoreOutcome::Failed(ScorerFailure::Busy(self.0.settings.wait_max));
        let Some(place) = self.reserve_uncounted() else { return busy() };
        let (sender, receiver) = oneshot::channel();
        place.fill(exchange, Recipient::Caller(sender));
        receiver.await.unwrap_or_else(|_| busy())
    }

    fn cut(&self, exchange: &mut Exchange) {
        exchange.answer.cut_to(self.0.settings.answer_bytes_max);
        exchange.head.request.cut_to(self.0.settings.answer_bytes_max);
    }
}

impl fmt::Debug for Scoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoring").field("scorer", self.0.scorer.name()).finish_non_exhaustive()
    }
}

/// Tells of a failure: an event, a metric, a line in the log.
fn tell(breaker: &Breaker, scorer: &Scorer, outcome: &ScoreOutcome) {
    let ScoreOutcome::Failed(failure) = outcome else { return };
    let home = &breaker.0.home;
    breaker.0.meters.scorer_failed(scorer.name(), failure);
    let event = Event::ScorerFailed {
        breaker: Arc::clone(&breaker.0.name),
        scorer: Arc::clone(scorer.name()),
        failure: failure.clone(),
    };
    home.hub.queue(&mut vec![event]);
    home.hub.deliver();
}

impl Place {
    /// Puts an answer into the place.
    pub(crate) fn submit(self, late: LateScores, mut exchange: Exchange) {
        self.scoring.cut(&mut exchange);
        self.fill(exchange, Recipient::Late(late));
    }

    fn fill(mut self, exchange: Exchange, to: Recipient) {
        self.used = true;
        let shared = &self.scoring.0.shared;
        shared.queue.lock().jobs.push_back(Job { exchange, queued_at: Instant::now(), to });
        shared.filled.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.used {
            self.scoring.0.shared.queue.lock().taken -= 1;
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.filled.notify_all();
    }
}

/// A thread's life.
fn work(shared: &Shared, scorer: &Scorer, wait_max: Duration) {
    loop {
        let mut queue = shared.queue.lock();
        let (job, closed) = loop {
            if let Some(job) = queue.jobs.pop_front() {
                queue.taken -= 1;
                break (job, queue.closed);
            }
            if queue.closed {
                return;
            }
            shared.filled.wait(&mut queue);
        };
        drop(queue);
        let Job { exchange, queued_at, to } = job;
        let outcome = if closed || queued_at.elapsed() > wait_max {
            ScoreOutcome::Failed(ScorerFailure::Busy(wait_max))
        } else {
            scorer.score_owned(exchange)
        };
        match to {
            Recipient::Caller(sender) => {
                // Its caller may have gone away.
                let _ = sender.send(outcome);
            }
            Recipient::Late(late) => {
                tell(late.breaker(), scorer, &outcome);
                match outcome.score().map(|score| late.report_quality(score.get())) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => drop(late.report_missing()),
                }
            }
        }
    }
}
