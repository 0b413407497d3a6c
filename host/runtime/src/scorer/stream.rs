//! Scores an answer that comes in pieces.

use std::fmt;
use std::time::Duration;

use wasmtime::component::ResourceAny;

use super::exchange::{Body, Exchange, ExchangeHead, ScoreOutcome};
use super::{Lent, Scorer, ScorerFailure};

/// An answer that is being streamed. A scorer that takes streams sees each piece as it passes; for another they are
/// collected, up to a bound, and it sees them at the end.
///
/// Each piece is looked at on the thread that pushes it, which waits, and whose stack must be as [`Scorer::score`] says.
/// From its first piece to its last the stream holds one of the scorer's instances, however long that is: asynchronous
/// programs, and those with many streams, use [`Scoring::stream_for`](super::Scoring::stream_for).
///
/// A stream that is dropped is forgotten, and gives no score.
pub struct ScoreStream {
    kind: Kind,
}

enum Kind {
    Streaming {
        lent: Lent,
        answer: ResourceAny,
    },
    Collecting {
        scorer: Scorer,
        exchange: Box<Exchange>,
    },
    /// The scorer has spoken already.
    Done(ScoreOutcome),
}

impl Kind {
    fn open(mut lent: Lent, head: &ExchangeHead, content_type: &str) -> Self {
        match lent.run(|instance, settings| instance.open(head, content_type, settings)) {
            Ok(Some(answer)) => Self::Streaming { lent, answer },
            Ok(None) => Self::Done(ScoreOutcome::Abstained("it takes no streams".to_owned())),
            Err(failure) => Self::Done(ScoreOutcome::Failed(failure)),
        }
    }
}

impl ScoreStream {
    pub(super) fn begin(scorer: &Scorer, head: ExchangeHead, content_type: &str) -> Self {
        if !scorer.is_streaming() {
            let answer = Body::new(content_type, Vec::new());
            let exchange = Box::new(Exchange { head, answer });
            return Self { kind: Kind::Collecting { scorer: scorer.clone(), exchange } };
        }
        let kind = scorer.aside(|| match scorer.take(scorer.settings().deadline) {
            Ok(lent) => Kind::open(lent, &head, content_type),
            Err(failure) => Kind::Done(ScoreOutcome::Failed(failure)),
        });
        Self { kind: kind.unwrap_or_else(|failure| Kind::Done(ScoreOutcome::Failed(failure))) }
    }

    /// Begins to score on this thread, which is not tokio's. `None` where no instance is free.
    pub(super) fn begin_if_free(scorer: &Scorer, head: &ExchangeHead, content_type: &str) -> Option<Self> {
        match scorer.take(Duration::ZERO) {
            Ok(lent) => Some(Self { kind: Kind::open(lent, head, content_type) }),
            Err(ScorerFailure::Busy(_)) => None,
            Err(failure) => Some(Self { kind: Kind::Done(ScoreOutcome::Failed(failure)) }),
        }
    }

    /// The next piece, in order. A verdict may come before the end: an answer that is worthless already need not be read
    /// on. After one, further pieces are not looked at.
    pub fn push(&mut self, piece: &[u8]) -> Option<&ScoreOutcome> {
        match &mut self.kind {
            Kind::Streaming { lent, answer } => {
                let answer = *answer;
                let pushed = lent.run_aside(|instance, settings| instance.push(answer, piece, settings));
                match pushed {
                    Ok(None) => {}
                    Ok(Some(outcome)) => {
                        close(lent, answer);
                        self.kind = Kind::Done(outcome);
                    }
                    Err(failure) => self.kind = Kind::Done(ScoreOutcome::Failed(failure)),
                }
            }
            Kind::Collecting { scorer, exchange } => {
                exchange.answer.append(piece, scorer.settings().answer_bytes_max);
            }
            Kind::Done(_) => {}
        }
        match &self.kind {
            Kind::Done(outcome) => Some(outcome),
            Kind::Streaming { .. } | Kind::Collecting { .. } => None,
        }
    }

    /// The answer has ended; `complete` is `false` where it broke off.
    #[must_use]
    pub fn finish(mut self, complete: bool) -> ScoreOutcome {
        let done = Kind::Done(ScoreOutcome::Abstained(String::new()));
        match std::mem::replace(&mut self.kind, done) {
            Kind::Done(outcome) => outcome,
            Kind::Streaming { mut lent, answer } => {
                let finished = lent.run_aside(|instance, settings| instance.finish(answer, complete, settings));
                close(&mut lent, answer);
                finished.unwrap_or_else(ScoreOutcome::Failed)
            }
            Kind::Collecting { scorer, exchange } => scorer.score(&exchange.ended(complete)),
        }
    }
}

/// Lets the guest's resource go; where that fails, the instance goes with it.
fn close(lent: &mut Lent, answer: ResourceAny) {
    if let Err(failure) = lent.run_aside(|instance, settings| instance.close(answer, settings)) {
        tracing::debug!(%failure, "a stream wasn't closed");
    }
}

impl Drop for ScoreStream {
    fn drop(&mut self) {
        if let Kind::Streaming { lent, answer } = &mut self.kind {
            close(lent, *answer);
        }
    }
}

impl fmt::Debug for ScoreStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Streaming { .. } => "streaming",
            Kind::Collecting { .. } => "collecting",
            Kind::Done(_) => "done",
        };
        f.debug_tuple("ScoreStream").field(&kind).finish()
    }
}
