//! Scores an answer that comes in pieces.

use std::fmt;

use wasmtime::component::ResourceAny;

use super::exchange::{Body, Exchange, ExchangeHead, ScoreOutcome};
use super::{Lent, Scorer, outside_tokio};

/// Metadata by which a scorer that takes no streams learns that one broke off.
const INCOMPLETE: (&str, &str) = ("stream-complete", "false");

/// An answer that is being streamed. A scorer that takes streams sees each piece as it passes; for another they are
/// collected, up to a bound, and it sees them at the end.
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

impl ScoreStream {
    pub(super) fn begin(scorer: &Scorer, head: ExchangeHead, content_type: &str) -> Self {
        if !scorer.is_streaming() {
            let answer = Body::new(content_type, Vec::new());
            let exchange = Box::new(Exchange { head, answer });
            return Self { kind: Kind::Collecting { scorer: scorer.clone(), exchange } };
        }
        let kind = outside_tokio(|| {
            let mut lent = match scorer.take() {
                Ok(lent) => lent,
                Err(failure) => return Kind::Done(ScoreOutcome::Failed(failure)),
            };
            match lent.run(|instance, settings| instance.open(&head, content_type, settings)) {
                Ok(Some(answer)) => Kind::Streaming { lent, answer },
                Ok(None) => Kind::Done(ScoreOutcome::Abstained("it takes no streams".to_owned())),
                Err(failure) => Kind::Done(ScoreOutcome::Failed(failure)),
            }
        });
        Self { kind }
    }

    /// The next piece, in order. A verdict may come before the end: an answer that is worthless already need not be read
    /// on. After one, further pieces are not looked at.
    pub fn push(&mut self, piece: &[u8]) -> Option<&ScoreOutcome> {
        match &mut self.kind {
            Kind::Streaming { lent, answer } => {
                let answer = *answer;
                let pushed = outside_tokio(|| lent.run(|instance, settings| instance.push(answer, piece, settings)));
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
                let body = &mut exchange.answer;
                let room = scorer.settings().answer_bytes_max.saturating_sub(body.bytes.len());
                body.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
                body.truncated |= piece.len() > room;
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
                let finished =
                    outside_tokio(|| lent.run(|instance, settings| instance.finish(answer, complete, settings)));
                close(&mut lent, answer);
                finished.unwrap_or_else(ScoreOutcome::Failed)
            }
            Kind::Collecting { scorer, mut exchange } => {
                if !complete {
                    exchange.head.metadata.push((INCOMPLETE.0.to_owned(), INCOMPLETE.1.to_owned()));
                }
                scorer.score_owned(*exchange)
            }
        }
    }
}

/// Lets the guest's resource go; where that fails, the instance goes with it.
fn close(lent: &mut Lent, answer: ResourceAny) {
    outside_tokio(|| {
        if let Err(failure) = lent.run(|instance, settings| instance.close(answer, settings)) {
            tracing::debug!(%failure, "a stream wasn't closed");
        }
    });
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
