//! Where a call's score is reported from anywhere, at any time: while the call is under way, or long after it.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Breaker, LateScores};
use crate::types::{Effect, InvalidScore, Score, StateChange};

/// Takes scores of one call, whether it is still under way or has ended. Cheap to clone, for any thread or task: a judge's,
/// a response body's, a stream's.
///
/// Where the call's outcome was settled as [pending](crate::Signal::Pending), its reporters owe the score. When the last
/// of them is dropped and none has reported, the score is reported as missing; so that is the way to say that none will
/// come.
#[derive(Clone)]
pub struct Reporter(Arc<Inner>);

struct Inner {
    breaker: Breaker,
    phase: Mutex<Phase>,
}

enum Phase {
    /// The call is under way: the score that was reported last.
    UnderWay(Option<Score>),
    /// It has ended.
    Ended(LateScores<'static>),
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq)]
pub enum Reported {
    /// The call is under way: the score goes into its outcome, unless another report follows.
    Kept,
    /// The call had ended, so this was a late score.
    Late {
        /// What became of it. [`Effect::Stale`]: the circuit has changed its state since, and the score is not wanted;
        /// [`Effect::Ignored`]: the call's outcome was neutral.
        effect: Effect,
        /// The change of state that it made.
        change: Option<Box<StateChange>>,
    },
}

impl Reporter {
    pub(super) fn new(breaker: Breaker, score: Option<Score>) -> Self {
        Self(Arc::new(Inner { breaker, phase: Mutex::new(Phase::UnderWay(score)) }))
    }

    /// The breaker whose call it is.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// Says how good the answer is. Of the reports before the call ends the last one counts, and it wins over a scorer's.
    /// Each one after that is a sample of its own.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality(&self, score: f64) -> Result<Reported, InvalidScore> {
        let score = Score::new(score)?;
        let late = match &mut *self.0.phase.lock() {
            Phase::UnderWay(kept) => {
                *kept = Some(score);
                return Ok(Reported::Kept);
            }
            Phase::Ended(late) => late.clone(),
        };
        let (effect, change) = late.report_score(score, self.0.breaker.now());
        Ok(Reported::Late { effect, change })
    }

    /// [`report_quality`](Self::report_quality) for a scorer, whose score yields to one that is there already. It doesn't
    /// panic.
    pub(crate) fn report_scored(&self, score: Score) {
        let late = match &mut *self.0.phase.lock() {
            Phase::UnderWay(kept) => {
                kept.get_or_insert(score);
                return;
            }
            Phase::Ended(late) => late.clone(),
        };
        late.pay(Some(score));
    }

    /// Says that no score will come. It counts where the call has ended and its score is owed; otherwise nothing happens.
    pub fn report_missing(&self) {
        let late = match &*self.0.phase.lock() {
            Phase::Ended(late) => late.clone(),
            Phase::UnderWay(_) => return,
        };
        if late.take_debt() {
            late.pay(None);
        }
    }

    /// The score that was reported last, while the call is under way.
    #[must_use]
    pub fn reported(&self) -> Option<Score> {
        match &*self.0.phase.lock() {
            Phase::UnderWay(score) => *score,
            Phase::Ended(_) => None,
        }
    }

    pub(super) fn take(&self) -> Option<Score> {
        match &mut *self.0.phase.lock() {
            Phase::UnderWay(score) => score.take(),
            Phase::Ended(_) => None,
        }
    }

    /// The call has ended. What was reported since the outcome was made up follows it.
    pub(super) fn end(&self, late: LateScores<'static>) {
        let before = std::mem::replace(&mut *self.0.phase.lock(), Phase::Ended(late.clone()));
        if let Phase::UnderWay(Some(score)) = before {
            late.pay(Some(score));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Phase::Ended(late) = self.phase.get_mut()
            && late.take_debt()
        {
            late.pay(None);
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("breaker", self.0.breaker.name()).finish_non_exhaustive()
    }
}
