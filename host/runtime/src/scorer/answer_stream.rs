//! Scores an answer that comes in pieces without holding up whoever passes them on: on a scoring's threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::attached::{hand_in, host_panicked};
use super::exchange::{Body, Exchange, ExchangeHead, ScoreOutcome};
use super::workers::Lane;
use super::{ScoreStream, Scorer, Scoring};
use crate::breaker::Reporter;

/// An answer that is being streamed through an asynchronous program, a gateway say. [`Scoring::stream_for`] begins it.
///
/// A scorer that takes streams sees each piece as it passes, on a thread of the [`Scoring`], and has an instance to itself
/// for this answer, as far as [`streams_max`](super::ScoringSettings::streams_max) allows. Beyond, and for a scorer that
/// takes none, the pieces are collected up to [`answer_bytes_max`](super::ScoringSettings::answer_bytes_max), and it sees
/// them at the end. So a stream that stands still holds up no other.
///
/// The score goes to the call's [`Reporter`]: into the call's outcome if it is still under way, else to the breaker as a
/// late score. A stream that is dropped unfinished gives no score, and lets go of its reporter, which then says of a score
/// that was promised that none will come.
///
/// ```
/// # use softfuse::{Breaker, ExchangeHead, Outcome, Scoring};
/// # async fn gateway(breaker: &Breaker, scoring: &Scoring, pieces: Vec<Vec<u8>>) -> Result<(), softfuse::Rejected> {
/// let mut permit = breaker.permit()?;
/// let mut scored = scoring.stream_for(permit.reporter(), ExchangeHead::default(), "text/event-stream");
/// let mut whole = true;
/// for piece in pieces {
///     if let Some(verdict) = scored.push(&piece).await {
///         // Known before the end: a worthless answer need not be read on.
///         whole = verdict.score().is_none_or(|score| score.get() > 0.2);
///     }
///     if !whole {
///         break;
///     }
///     // Pass the piece on here.
/// }
/// // Nobody waits for the score: it is owed from here on, and comes late.
/// permit.settle(Outcome::success().with_pending_score());
/// scored.finish_later(whole);
/// # Ok(())
/// # }
/// ```
pub struct AnswerStream {
    scoring: Scoring,
    reporter: Option<Reporter>,
    kind: Kind,
    /// A failure was told of.
    told: bool,
}

enum Kind {
    /// Its pieces pass through an instance.
    Passing(Box<Passing>),
    /// The same, while a piece is looked at.
    Away(oneshot::Receiver<Self>),
    /// Its pieces are collected.
    Collecting(Box<Exchange>),
    /// The scorer has spoken already.
    Done(ScoreOutcome),
}

struct Passing {
    /// `None` before the first piece.
    stream: Option<ScoreStream>,
    /// What it begins with, or is collected with where no instance is free.
    exchange: Exchange,
    answer_bytes_max: usize,
    // Last, so that the instance is back when the place is.
    _slot: Slot,
}

/// The right to hold an instance.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(taken: &Arc<AtomicUsize>, slots_max: usize) -> Option<Self> {
        let one_more = |count: usize| (count < slots_max).then_some(count + 1);
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok().map(|_| Self(Arc::clone(taken)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AnswerStream {
    pub(super) fn begin(scoring: &Scoring, reporter: Option<Reporter>, head: ExchangeHead, content_type: &str) -> Self {
        let mut exchange = Exchange { head, answer: Body::new(content_type, Vec::new()) };
        scoring.cut(&mut exchange);
        let inner = scoring.inner();
        // One instance is left for whole answers.
        let slots_max = inner.settings.streams_max.min(inner.scorer.settings().instances_max.saturating_sub(1));
        let slot = inner.scorer.is_streaming().then(|| Slot::take(&inner.streams, slots_max)).flatten();
        let kind = match slot {
            Some(slot) => Kind::Passing(Box::new(Passing {
                stream: None,
                exchange,
                answer_bytes_max: inner.settings.answer_bytes_max,
                _slot: slot,
            })),
            None => Kind::Collecting(Box::new(exchange)),
        };
        Self { scoring: scoring.clone(), reporter, kind, told: false }
    }

    /// The next piece, in order. A verdict may come before the end; after one, further pieces are not looked at. It still
    /// takes [`finish`](Self::finish) to hand the score in.
    ///
    /// A piece is handed in once this is polled, so one that is dropped while it waits is not to be pushed again.
    pub async fn push(&mut self, piece: &[u8]) -> Option<&ScoreOutcome> {
        self.come_back().await;
        match &mut self.kind {
            Kind::Collecting(exchange) => {
                exchange.answer.append(piece, self.scoring.settings().answer_bytes_max);
            }
            Kind::Passing(_) => {
                self.send(piece.to_vec());
                self.come_back().await;
            }
            Kind::Away(_) | Kind::Done(_) => {}
        }
        self.verdict()
    }

    /// What the scorer has said before the end.
    #[must_use]
    pub fn verdict(&self) -> Option<&ScoreOutcome> {
        match &self.kind {
            Kind::Done(outcome) => Some(outcome),
            Kind::Passing(_) | Kind::Away(_) | Kind::Collecting(_) => None,
        }
    }

    /// The answer has ended; `complete` is `false` where it broke off. Waits for the score, and hands it in.
    pub async fn finish(mut self, complete: bool) -> ScoreOutcome {
        self.come_back().await;
        let outcome = match self.take() {
            Kind::Done(outcome) => outcome,
            kind => self.scoring.ask(move |scorer| kind.finish(scorer, complete)).await,
        };
        self.end(&outcome);
        outcome
    }

    /// [`finish`](Self::finish) without waiting: the score is handed in when it has been made, after all that callers wait
    /// for. Where too many answers wait, it isn't scored, and that is counted.
    pub fn finish_later(mut self, complete: bool) {
        // Without a reporter nobody would hear of it.
        let Some(reporter) = self.reporter.take() else { return };
        match self.take() {
            Kind::Done(outcome) => {
                self.reporter = Some(reporter);
                self.end(&outcome);
            }
            kind => match self.scoring.reserve(reporter.breaker()) {
                Some(place) => place.fill(reporter, move |scorer| kind.finish(scorer, complete)),
                None => {
                    reporter.report_missing();
                    self.kind = kind;
                }
            },
        }
    }

    fn take(&mut self) -> Kind {
        std::mem::replace(&mut self.kind, Kind::Done(ScoreOutcome::Abstained(String::new())))
    }

    /// Hands a piece to a thread, with all that is needed for it.
    fn send(&mut self, piece: Vec<u8>) {
        let place = match self.scoring.inner().workers.reserve(Lane::Callers) {
            Ok(place) => place,
            // A piece that isn't seen makes the rest worthless.
            Err(busy) => {
                self.discard();
                return self.kind = Kind::Done(ScoreOutcome::Failed(busy));
            }
        };
        let (sender, receiver) = oneshot::channel();
        if let Kind::Passing(passing) = std::mem::replace(&mut self.kind, Kind::Away(receiver)) {
            place.fill(Box::new(move |turn| {
                if !sender.is_closed() {
                    let _ = sender.send(match turn {
                        Ok(scorer) => passing.push(scorer, &piece),
                        Err(failure) => Kind::Done(ScoreOutcome::Failed(failure)),
                    });
                }
            }));
        }
    }

    /// Waits for a piece that is looked at, this one or one whose push was given up.
    async fn come_back(&mut self) {
        if let Kind::Away(receiver) = &mut self.kind {
            self.kind = receiver.await.unwrap_or_else(|_| Kind::Done(ScoreOutcome::Failed(host_panicked())));
        }
        if let Kind::Done(outcome) = &self.kind {
            self.told = tell_once(self.told, &self.scoring, self.reporter.as_ref(), outcome);
        }
    }

    fn end(&mut self, outcome: &ScoreOutcome) {
        tell_once(self.told, &self.scoring, self.reporter.as_ref(), outcome);
        if let Some(reporter) = self.reporter.take() {
            hand_in(&reporter, outcome);
        }
    }

    /// Gives an instance back on a thread, since the guest has a resource to let go of.
    fn discard(&mut self) {
        match self.take() {
            Kind::Passing(passing) if passing.stream.is_some() => self.scoring.inner().workers.discard(passing),
            Kind::Away(mut receiver) => {
                receiver.close();
                if let Ok(kind) = receiver.try_recv() {
                    self.scoring.inner().workers.discard(kind);
                }
            }
            _ => {}
        }
    }
}

/// Tells of a failure, unless that was done: whether it is done now.
fn tell_once(told: bool, scoring: &Scoring, reporter: Option<&Reporter>, outcome: &ScoreOutcome) -> bool {
    if let (false, Some(reporter)) = (told, reporter) {
        scoring.tell(reporter.breaker(), outcome);
    }
    true
}

impl Passing {
    /// Shows a piece to the scorer, on one of the threads.
    fn push(mut self: Box<Self>, scorer: &Scorer, piece: &[u8]) -> Kind {
        match self.begun(scorer).map(|stream| stream.push(piece).cloned()) {
            Some(None) => Kind::Passing(self),
            Some(Some(outcome)) => Kind::Done(outcome),
            None => {
                self.exchange.answer.append(piece, self.answer_bytes_max);
                Kind::Collecting(Box::new(self.exchange))
            }
        }
    }

    /// The stream, begun if it wasn't; `None` where no instance is free.
    fn begun(&mut self, scorer: &Scorer) -> Option<&mut ScoreStream> {
        if self.stream.is_none() {
            let Exchange { head, answer } = &self.exchange;
            self.stream = ScoreStream::begin_if_free(scorer, head, &answer.content_type);
        }
        self.stream.as_mut()
    }
}

impl Kind {
    /// The answer has ended, on one of the threads.
    fn finish(self, scorer: &Scorer, complete: bool) -> ScoreOutcome {
        match self {
            Self::Done(outcome) => outcome,
            // The piece was handed in before this was, and callers come first: some thread is at it.
            Self::Away(receiver) => match receiver.blocking_recv() {
                Ok(kind) => kind.finish(scorer, complete),
                Err(_) => ScoreOutcome::Failed(host_panicked()),
            },
            Self::Collecting(exchange) => scorer.score(&exchange.ended(complete)),
            Self::Passing(mut passing) => {
                passing.begun(scorer);
                match passing.stream.take() {
                    Some(stream) => stream.finish(complete),
                    None => scorer.score(&passing.exchange.ended(complete)),
                }
            }
        }
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        self.discard();
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Passing(_) | Kind::Away(_) => "passing",
            Kind::Collecting(_) => "collecting",
            Kind::Done(_) => "done",
        };
        f.debug_tuple("AnswerStream").field(&kind).finish()
    }
}
