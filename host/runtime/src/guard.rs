//! Guarded calls: a permit, the call with no lock held, the settlement, and a fallback where there is one.

use std::fmt;
use std::sync::Arc;

use crate::breaker::{Breaker, Debtor, Permit, Reporter, Settled};
use crate::calls::{classify_default, ended_at, settle};
use crate::caught::{caught, caught_async};
use crate::error::{CallError, Rejected};
use crate::scorer::{Exchange, Scoring};
use crate::types::{Outcome, OutcomeKind, Score, Signal, Time};

/// Why a fallback is asked.
#[derive(Debug)]
pub enum FallbackCause<E> {
    /// The call wasn't made.
    Rejected(Rejected),
    /// The call failed, and opened the circuit by that.
    Tripped(E),
    /// The call succeeded, and its answer's score is under [`Guard::replace_below`]'s limit.
    BadAnswer(Score),
}

impl<E> FallbackCause<E> {
    /// The error that the caller gets where there is no fallback. `None` for a bad answer, which it gets itself.
    #[must_use]
    pub fn into_error(self) -> Option<CallError<E>> {
        match self {
            Self::Rejected(rejected) => Some(CallError::Rejected(rejected)),
            Self::Tripped(error) => Some(CallError::Failed(error)),
            Self::BadAnswer(_) => None,
        }
    }
}

type Classify<T, E> = Arc<dyn Fn(&Result<T, E>) -> Outcome + Send + Sync>;
type Fallback<T, E> = Arc<dyn Fn(FallbackCause<E>) -> Result<T, CallError<E>> + Send + Sync>;
type ExchangeOf<T> = Arc<dyn Fn(&T) -> Option<Exchange> + Send + Sync>;

/// A breaker with all that a guarded call needs besides: what counts as a failure, a fallback, a scorer. Made once by
/// [`Breaker::guard`], and used for many calls; cheap to clone.
///
/// A call that opens the circuit keeps its own result: a success its value; an error the fallback, if there is one, or else
/// the error. Errors that don't open the circuit are the caller's, fallback or not.
pub struct Guard<T, E> {
    breaker: Breaker,
    classify: Option<Classify<T, E>>,
    fallback: Option<Fallback<T, E>>,
    scoring: Option<(Scoring, ExchangeOf<T>)>,
    score_before_answer: bool,
    replace_below: Option<Score>,
}

impl<T, E> Clone for Guard<T, E> {
    fn clone(&self) -> Self {
        Self {
            breaker: self.breaker.clone(),
            classify: self.classify.clone(),
            fallback: self.fallback.clone(),
            scoring: self.scoring.clone(),
            score_before_answer: self.score_before_answer,
            replace_below: self.replace_below,
        }
    }
}

impl<T, E> Guard<T, E> {
    pub(crate) fn of(breaker: Breaker) -> Self {
        Self { breaker, classify: None, fallback: None, scoring: None, score_before_answer: false, replace_below: None }
    }
}

impl<T, E> fmt::Debug for Guard<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

impl<T, E> Guard<T, E> {
    /// Says what a result means. Without it, a value is a success, and an error is one of the service.
    ///
    /// Where it says that the score is [pending](Signal::Pending), the call's [`Reporter`]s owe it; if nobody has kept one,
    /// it is missing at once.
    #[must_use]
    pub fn classify(mut self, classify: impl Fn(&Result<T, E>) -> Outcome + Send + Sync + 'static) -> Self {
        self.classify = Some(Arc::new(classify));
        self
    }

    /// What to do instead, where the call is refused, or fails and opens the circuit by that, or is answered badly (see
    /// [`replace_below`](Self::replace_below)). It may fail itself, by a panic too: a bad answer is then passed on after all.
    #[must_use]
    pub fn fallback(
        mut self,
        fallback: impl Fn(FallbackCause<E>) -> Result<T, CallError<E>> + Send + Sync + 'static,
    ) -> Self {
        self.fallback = Some(Arc::new(fallback));
        self
    }

    /// A value to give instead.
    #[must_use]
    pub fn fallback_value(self, value: T) -> Self
    where
        T: Clone + Send + Sync + 'static,
    {
        self.fallback(move |_| Ok(value.clone()))
    }

    /// Has answers scored, beside the call: the score comes late. `exchange_of` shows the scorer what it needs to see, or
    /// nothing. A score that the call reports itself wins, and a policy without conditions on scores has none made.
    #[must_use]
    pub fn scored_by(
        mut self,
        scoring: &Scoring,
        exchange_of: impl Fn(&T) -> Option<Exchange> + Send + Sync + 'static,
    ) -> Self {
        self.scoring = Some((scoring.clone(), Arc::new(exchange_of)));
        self
    }

    /// Has answers scored before they are passed on, so that each waits for its score, and the score goes into its outcome.
    #[must_use]
    pub const fn score_before_answer(mut self) -> Self {
        self.score_before_answer = true;
        self
    }

    /// Gives the fallback in the place of an answer whose score is under `limit`, where the score is there by then:
    /// reported by the call, or made by [`score_before_answer`](Self::score_before_answer).
    #[must_use]
    pub const fn replace_below(mut self, limit: Score) -> Self {
        self.replace_below = Some(limit);
        self
    }

    /// The breaker.
    #[must_use]
    pub const fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Makes the call.
    ///
    /// # Errors
    /// The refusal, or the call's own error, where no fallback takes its place.
    pub fn call(&self, call: impl FnOnce(&mut Permit) -> Result<T, E>) -> Result<T, CallError<E>> {
        self.call_at(self.breaker.now(), |permit| {
            let result = call(permit);
            (result, ended_at(permit))
        })
    }

    /// [`call`](Self::call), begun at `now`; the call says when it has ended.
    ///
    /// # Errors
    /// The refusal, or the call's own error, where no fallback takes its place.
    pub fn call_at(
        &self,
        now: Time,
        call: impl FnOnce(&mut Permit) -> (Result<T, E>, Time),
    ) -> Result<T, CallError<E>> {
        self.resolve(self.run_at(now, call))
    }

    /// [`call_at`](Self::call_at), without the fallback.
    pub(crate) fn run_at(&self, now: Time, call: impl FnOnce(&mut Permit) -> (Result<T, E>, Time)) -> Ended<T, E> {
        let admitted = self.breaker.admitted(now);
        let (permit, incarnation) = match admitted {
            Some(admitted) => admitted.granted(),
            None => match self.breaker.granted_or_refused(now) {
                Ok(granted) => granted,
                Err(rejected) => return Ended::Rejected(rejected),
            },
        };
        let mut permit = Permit::for_call(&self.breaker, permit, incarnation, now);
        let (result, ended_at) = call(&mut permit);
        permit.end_call();
        let outcome = self.outcome(&result);
        // Where nobody looks at the answer, most permits are settled where they lie.
        let unseen = self.scoring.is_none() && self.replace_below.is_none();
        if unseen
            && outcome == Outcome::success()
            && let Some(admitted) = admitted
            && permit.keep_success(&self.breaker, admitted, ended_at)
        {
            return Ended::Kept(result.map_err(CallError::Failed), outcome.kind);
        }
        let mut exchange = self.exchange(&result, &outcome, &permit);
        let mut said = None;
        if self.score_before_answer
            && let Some((scoring, _)) = &self.scoring
            && let Some(exchange) = exchange.take()
        {
            said = scoring.score_now(&self.breaker, exchange).score();
        }
        self.end(permit, (result, ended_at), outcome, said, exchange)
    }

    /// Makes an asynchronous call. A future that is dropped before it ends counts as cancelled, which is neutral.
    ///
    /// # Errors
    /// The refusal, or the call's own error, where no fallback takes its place.
    pub async fn call_async<F: Future<Output = Result<T, E>>>(
        &self,
        call: impl FnOnce(Reporter) -> F,
    ) -> Result<T, CallError<E>> {
        self.resolve(self.run_async(call).await)
    }

    /// [`call_async`](Self::call_async), with an asynchronous fallback of this call's own, the next provider perhaps, in
    /// the place of the guard's.
    ///
    /// # Errors
    /// The call's own error where it didn't open the circuit, or the fallback's.
    pub async fn call_async_or<F, G>(
        &self,
        call: impl FnOnce(Reporter) -> F,
        fallback: impl FnOnce(FallbackCause<E>) -> G,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
        G: Future<Output = Result<T, CallError<E>>>,
    {
        match self.run_async(call).await {
            Ended::Kept(result, _) => result,
            Ended::Rejected(rejected) => fallback(FallbackCause::Rejected(rejected)).await,
            Ended::Tripped(error) => fallback(FallbackCause::Tripped(error)).await,
            Ended::Bad(answer, score) => {
                let instead = match caught("fallback", || fallback(FallbackCause::BadAnswer(score))) {
                    Some(instead) => caught_async("fallback", instead).await,
                    None => None,
                };
                Ok(instead.and_then(Result::ok).unwrap_or(answer))
            }
        }
    }

    /// [`call_async`](Self::call_async), without the fallback.
    pub(crate) async fn run_async<F: Future<Output = Result<T, E>>>(
        &self,
        call: impl FnOnce(Reporter) -> F,
    ) -> Ended<T, E> {
        let mut permit = match self.breaker.permit() {
            Ok(permit) => permit,
            Err(rejected) => return Ended::Rejected(rejected),
        };
        let reporter = permit.reporter();
        let future = permit.in_call(|_| call(reporter));
        let result = permit.in_future(future).await;
        // Scoring takes time that isn't the call's.
        let ended_at = ended_at(&permit);
        let outcome = self.outcome(&result);
        let mut exchange = self.exchange(&result, &outcome, &permit);
        let mut said = None;
        if self.score_before_answer
            && let Some((scoring, _)) = &self.scoring
            && let Some(exchange) = exchange.take()
        {
            // The service has answered: whoever gives up waiting for the score doesn't undo that.
            permit.note_end(outcome, ended_at);
            said = scoring.score_for(&self.breaker, exchange).await.score();
        }
        self.end(permit, (result, ended_at), outcome, said, exchange)
    }

    /// What the call came to by itself.
    fn outcome(&self, result: &Result<T, E>) -> Outcome {
        let classified = self.classify.as_ref().and_then(|classify| caught("classify", || classify(result)));
        classified.unwrap_or_else(|| classify_default(result))
    }

    /// What the scorer is shown, where one is wanted.
    fn exchange(&self, result: &Result<T, E>, outcome: &Outcome, permit: &Permit) -> Option<Exchange> {
        let (_, exchange_of) = self.scoring.as_ref()?;
        let wanted = outcome.kind == OutcomeKind::Success
            && outcome.signal == Signal::None
            && permit.reported().is_none()
            && permit.is_guarded()
            && (self.breaker.policy().info().uses_scores || self.replace_below.is_some());
        match result {
            Ok(value) if wanted => caught("exchange_of", || exchange_of(value)).flatten(),
            _ => None,
        }
    }

    /// Settles the call, with the score that was reported or else a scorer's, and has its answer scored later where that
    /// is still to be done.
    fn end(
        &self,
        mut permit: Permit,
        (result, ended_at): (Result<T, E>, Time),
        mut outcome: Outcome,
        said: Option<Score>,
        exchange: Option<Exchange>,
    ) -> Ended<T, E> {
        let reported = permit.close_reports();
        // `classify` has the last word, where it gives a score itself.
        if let (false, Some(score)) = (matches!(outcome.signal, Signal::Score(_)), reported.or(said)) {
            outcome.signal = Signal::Score(score);
        }
        let place = exchange.filter(|_| outcome.signal == Signal::None).and_then(|exchange| {
            let (scoring, _) = self.scoring.as_ref()?;
            Some((scoring.reserve(&self.breaker)?, exchange))
        });
        let debtor = if place.is_some() {
            outcome.signal = Signal::Pending;
            Debtor::Scorer
        } else {
            Debtor::Reporters
        };
        let settled = settle(permit, debtor, outcome, ended_at);
        let tripped = settled.as_ref().is_some_and(Settled::tripped);
        if let (Some((place, exchange)), Some(settled)) = (place, settled) {
            place.submit(settled.late, exchange);
        }
        match (result, outcome.signal, self.replace_below) {
            (Err(error), ..) if tripped => Ended::Tripped(error),
            (Ok(answer), Signal::Score(score), Some(limit)) if score < limit => Ended::Bad(answer, score),
            (result, ..) => Ended::Kept(result.map_err(CallError::Failed), outcome.kind),
        }
    }

    /// Asks the fallback where it is called for.
    fn resolve(&self, ended: Ended<T, E>) -> Result<T, CallError<E>> {
        match (ended, &self.fallback) {
            (Ended::Kept(result, _), _) => result,
            (Ended::Rejected(rejected), None) => Err(CallError::Rejected(rejected)),
            (Ended::Rejected(rejected), Some(fallback)) => fallback(FallbackCause::Rejected(rejected)),
            (Ended::Tripped(error), None) => Err(CallError::Failed(error)),
            (Ended::Tripped(error), Some(fallback)) => fallback(FallbackCause::Tripped(error)),
            (Ended::Bad(answer, _), None) => Ok(answer),
            (Ended::Bad(answer, score), Some(fallback)) => {
                let instead = caught("fallback", || fallback(FallbackCause::BadAnswer(score)));
                Ok(instead.and_then(Result::ok).unwrap_or(answer))
            }
        }
    }
}

/// How a guarded call has ended.
pub(crate) enum Ended<T, E> {
    /// With its own result, and what that counts as.
    Kept(Result<T, CallError<E>>, OutcomeKind),
    /// Before it began.
    Rejected(Rejected),
    /// With an error that opened the circuit.
    Tripped(E),
    /// With an answer that is to be replaced.
    Bad(T, Score),
}
