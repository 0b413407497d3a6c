//! A tower layer: a service's calls go through a breaker.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::breaker::{Breaker, Debtor, Permit, Reporter, Settled};
use crate::calls;
use crate::caught::caught;
use crate::error::{CallError, Rejected};
use crate::types::{Outcome, OutcomeKind};

type Classify<R, E> = Arc<dyn Fn(&Result<R, E>) -> Outcome + Send + Sync>;
type OnSettled<R, E> = Arc<dyn Fn(&mut Result<R, E>, &Settled, Reporter) + Send + Sync>;

/// Puts a breaker before a service. Retries belong below it: a call with its retries is one outcome.
///
/// The breaker is asked when a request comes, not when the service is asked whether it is ready: readiness may be asked for
/// without a call, and would use up probes. A future that is dropped before it ends counts as cancelled, which is neutral.
///
/// A call ends with its response's head. Where its answer is judged later, from its body or elsewhere, `classify` says that
/// the score is [pending](crate::Signal::Pending), and [`on_settled`](Self::on_settled) hands on who takes it.
pub struct BreakerLayer<R, E> {
    breaker: Breaker,
    hooks: Hooks<R, E>,
}

struct Hooks<R, E> {
    classify: Option<Classify<R, E>>,
    on_settled: Option<OnSettled<R, E>>,
}

impl<R, E> Clone for Hooks<R, E> {
    fn clone(&self) -> Self {
        Self { classify: self.classify.clone(), on_settled: self.on_settled.clone() }
    }
}

impl<R, E> Hooks<R, E> {
    /// Settles a call that has ended. A hook that panics is passed over, and costs nobody the response.
    fn settle(&self, mut permit: Permit, result: &mut Result<R, E>) {
        let classified = self.classify.as_ref().and_then(|classify| caught("classify", || classify(result)));
        let outcome = classified
            .unwrap_or_else(|| Outcome::new(if result.is_ok() { OutcomeKind::Success } else { OutcomeKind::Error }));
        let ended_at = calls::ended_at(&permit);
        let Some(on_settled) = &self.on_settled else {
            calls::settle(permit, Debtor::Reporters, outcome, ended_at);
            return;
        };
        let reporter = permit.reporter();
        if let Some(settled) = calls::settle(permit, Debtor::Reporters, outcome, ended_at) {
            caught("on_settled", || on_settled(result, &settled, reporter));
        }
    }
}

impl<R, E> BreakerLayer<R, E> {
    /// A layer for which a response is a success, whatever it says, and an error is one of the service.
    #[must_use]
    pub fn new(breaker: &Breaker) -> Self {
        Self { breaker: breaker.clone(), hooks: Hooks { classify: None, on_settled: None } }
    }

    /// Says what a response or an error means: a status of 429, a refusal by the content policy, a `Retry-After`.
    #[must_use]
    pub fn classify(mut self, classify: impl Fn(&Result<R, E>) -> Outcome + Send + Sync + 'static) -> Self {
        self.hooks.classify = Some(Arc::new(classify));
        self
    }

    /// Is called when a call has been settled, before its result is passed on, with what became of its outcome. The
    /// [`Reporter`] takes the answer's score whenever it comes: put it into the response's extensions, or around its body,
    /// or send it to a judge. Where `classify` said pending, the reporter owes the score: dropped unused, it says that none
    /// will come. Without this hook a pending score is missing at once.
    #[must_use]
    pub fn on_settled(
        mut self,
        on_settled: impl Fn(&mut Result<R, E>, &Settled, Reporter) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.on_settled = Some(Arc::new(on_settled));
        self
    }
}

impl<R, E> Clone for BreakerLayer<R, E> {
    fn clone(&self) -> Self {
        Self { breaker: self.breaker.clone(), hooks: self.hooks.clone() }
    }
}

impl<R, E> fmt::Debug for BreakerLayer<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

impl<S, R, E> Layer<S> for BreakerLayer<R, E> {
    type Service = BreakerService<S, R, E>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { inner, layer: self.clone() }
    }
}

/// A service behind a breaker.
pub struct BreakerService<S, R, E> {
    inner: S,
    layer: BreakerLayer<R, E>,
}

impl<S: Clone, R, E> Clone for BreakerService<S, R, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, R, E> fmt::Debug for BreakerService<S, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerService").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

impl<S, Q> Service<Q> for BreakerService<S, S::Response, S::Error>
where
    S: Service<Q>,
{
    type Response = S::Response;
    type Error = CallError<S::Error>;
    type Future = ResponseFuture<S::Future, S::Response, S::Error>;

    /// The service's own readiness. An error of it is passed on, and is no outcome: no call was made.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(CallError::Failed)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        match self.layer.breaker.permit() {
            Ok(mut permit) => ResponseFuture {
                state: ResponseState::Calling {
                    future: permit.in_call(|_| self.inner.call(request)),
                    permit: Some(permit.into_owned()),
                    hooks: self.layer.hooks.clone(),
                },
            },
            Err(rejected) => ResponseFuture { state: ResponseState::Rejected { rejected: Some(rejected) } },
        }
    }
}

pin_project! {
    /// The response of a [`BreakerService`], to come.
    pub struct ResponseFuture<F, R, E> {
        #[pin]
        state: ResponseState<F, R, E>,
    }
}

pin_project! {
    #[project = ResponseStateProjection]
    enum ResponseState<F, R, E> {
        Calling {
            #[pin]
            future: F,
            permit: Option<Permit<'static>>,
            hooks: Hooks<R, E>,
        },
        Rejected { rejected: Option<Rejected> },
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<R, E>>,
{
    type Output = Result<R, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            ResponseStateProjection::Calling { future, permit, hooks } => {
                // Polled again after its end, as below.
                let Some(held) = permit.as_mut() else { return Poll::Pending };
                let mut result = ready!(held.in_call(|_| future.poll(cx)));
                if let Some(permit) = permit.take() {
                    hooks.settle(permit, &mut result);
                }
                Poll::Ready(result.map_err(CallError::Failed))
            }
            ResponseStateProjection::Rejected { rejected } => match rejected.take() {
                Some(rejected) => Poll::Ready(Err(CallError::Rejected(rejected))),
                // Polled again after its end, which a future may answer as it likes.
                None => Poll::Pending,
            },
        }
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
