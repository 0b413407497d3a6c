//! The tower layer: calls go through the breaker, readiness doesn't, and a dropped future is neutral.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use common::{TWO_FAILURES, breaker};
use softfuse::{BreakerLayer, CallError, FailureKind, Outcome, State};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

#[tokio::test]
async fn responses_are_classified_and_refusals_are_typed() {
    let (_, clock, breaker) = breaker(TWO_FAILURES);
    let layer = BreakerLayer::new(&breaker).classify(|result: &Result<u16, Infallible>| match result {
        Ok(500..) => Outcome::failure(FailureKind::Error),
        _ => Outcome::success(),
    });
    let mut service = ServiceBuilder::new().layer(layer).service(service_fn(|status: u16| async move { Ok(status) }));
    for status in [200, 500, 503] {
        assert_eq!(service.ready().await.unwrap().call(status).await, Ok(status));
    }
    match service.ready().await.unwrap().call(200).await {
        Err(CallError::Rejected(rejected)) => assert_eq!(rejected.retry_after, Some(Duration::from_secs(10))),
        other => panic!("{other:?}"),
    }
    clock.advance(Duration::from_secs(10));
    // Readiness may be asked for as often as one likes: it takes no probe.
    for _ in 0..10 {
        service.ready().await.unwrap();
    }
    assert_eq!(breaker.state(), State::Open);
    for _ in 0..2 {
        assert_eq!(service.ready().await.unwrap().call(200).await, Ok(200));
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_dropped_future_is_neutral() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let mut service = ServiceBuilder::new()
        .layer(BreakerLayer::new(&breaker))
        .service(service_fn(|()| std::future::pending::<Result<(), Infallible>>()));
    let mut call = Box::pin(service.ready().await.unwrap().call(()));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert_eq!(call.as_mut().poll(&mut context), Poll::Pending);
    drop(call);
    let totals = breaker.status().unwrap().totals;
    assert_eq!((totals.calls, totals.neutral), (1, 1));
}

/// A service that isn't ready, or whose readiness fails, is no outcome.
#[tokio::test]
async fn readiness_is_the_services_own() {
    #[derive(Clone)]
    struct Broken;
    impl Service<()> for Broken {
        type Response = ();
        type Error = &'static str;
        type Future = std::future::Ready<Result<(), &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("broken"))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let mut service = ServiceBuilder::new().layer(BreakerLayer::new(&breaker)).service(Broken);
    assert_eq!(service.ready().await.map(|_| ()), Err(CallError::Failed("broken")));
    assert_eq!(breaker.status().unwrap().totals.calls, 0);
}
