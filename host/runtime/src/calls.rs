//! Guarded calls of a breaker by itself: a value is a success, and an error is one of the service.

use std::mem;

use crate::breaker::{Breaker, Debtor, Permit, Reporter, Settled};
use crate::caught::caught;
use crate::error::CallError;
use crate::guard::Guard;
use crate::types::{Outcome, OutcomeKind, Time};

/// A value is a success, and an error is one of the service.
pub(crate) fn classify_default<T, E>(result: &Result<T, E>) -> Outcome {
    Outcome::new(if result.is_ok() { OutcomeKind::Success } else { OutcomeKind::Error })
}

/// When a call has ended: now. By a clock that panics it took no time, since the answer is there all the same.
#[inline]
pub(crate) fn ended_at(permit: &Permit) -> Time {
    permit.breaker().now_unless_it_panics().unwrap_or(permit.admitted_at())
}

/// Settles a call that has an answer, which no panic of the host's own code costs. `None` where there was one: what became of
/// the outcome is then unknown.
pub(crate) fn settle(permit: Permit, debtor: Debtor, outcome: Outcome, ended_at: Time) -> Option<Settled> {
    caught("settling a call", || permit.settle_owed_by(debtor, outcome, ended_at))
}

/// Settles a call that has an answer, and that nobody hears of what became of.
#[inline(never)]
fn end(mut permit: Permit, outcome: Outcome, ended_at: Time) {
    permit.end_call();
    settle(permit, Debtor::Holder, outcome, ended_at);
}

impl Breaker {
    /// Makes a guarded call: a value is a success, an error a failure, a panic too.
    ///
    /// # Errors
    /// The refusal, or the call's own error.
    #[inline]
    pub fn call<T, E>(&self, call: impl FnOnce(&mut Permit) -> Result<T, E>) -> Result<T, CallError<E>> {
        self.call_at(self.now(), |permit| {
            let result = call(permit);
            (result, ended_at(permit))
        })
    }

    /// [`call`](Self::call), begun at `now`; the call says when it has ended.
    ///
    /// # Errors
    /// The refusal, or the call's own error.
    #[inline]
    pub fn call_at<T, E>(
        &self,
        now: Time,
        call: impl FnOnce(&mut Permit) -> (Result<T, E>, Time),
    ) -> Result<T, CallError<E>> {
        let Some(admitted) = self.admitted(now) else { return self.call_granted_or_refused(now, call) };
        let (permit, incarnation) = admitted.granted();
        let mut permit = Permit::for_call(self, permit, incarnation, now);
        let (result, ended_at) = call(&mut permit);
        // Most permits are settled where they lie.
        if result.is_ok() && permit.keep_success(self, admitted, ended_at) {
            mem::forget(permit);
        } else {
            end(permit, classify_default(&result), ended_at);
        }
        result.map_err(CallError::Failed)
    }

    /// Apart from most calls, so that these needn't move about what has room for a refusal.
    #[inline(never)]
    fn call_granted_or_refused<T, E>(
        &self,
        now: Time,
        call: impl FnOnce(&mut Permit) -> (Result<T, E>, Time),
    ) -> Result<T, CallError<E>> {
        let (permit, incarnation) = self.granted_or_refused(now)?;
        let mut permit = Permit::for_call(self, permit, incarnation, now);
        let (result, ended_at) = call(&mut permit);
        end(permit, classify_default(&result), ended_at);
        result.map_err(CallError::Failed)
    }

    /// Makes a guarded asynchronous call. A future that is dropped before it ends counts as cancelled, which is neutral.
    ///
    /// # Errors
    /// The refusal, or the call's own error.
    pub async fn call_async<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        call: impl FnOnce(Reporter) -> F,
    ) -> Result<T, CallError<E>> {
        self.guard().call_async(call).await
    }

    /// Begins a guard for calls of one kind.
    #[must_use]
    pub fn guard<T, E>(&self) -> Guard<T, E> {
        Guard::of(self.clone())
    }
}
