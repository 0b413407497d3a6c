//! The tower layer: calls go through the breaker, readiness doesn't, and a dropped future is neutral.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use common::{TWO_FAILURES, breaker};
use softfuse::{
    BreakerLayer, CallError, Clock, Effect, FailureKind, Outcome, Registry, Reported, Reporter, State, Time,
};
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
        Err(CallError::Rejected(rejected)) => assert_eq!(rejected.retry_after(), Some(Duration::from_secs(10))),
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

#[tokio::test]
async fn a_panic_of_the_service_is_a_failure_and_anothers_is_neutral() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let counts = || {
        let totals = breaker.status().unwrap().totals;
        (totals.failures, totals.neutral)
    };
    let layer = || BreakerLayer::new(&breaker);
    let mut waits =
        ServiceBuilder::new().layer(layer()).service(service_fn(|()| std::future::pending::<Result<(), Infallible>>()));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut call = Box::pin(waits.call(()));
        assert!(call.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        panic!("another branch");
    }));
    assert!(panicked.is_err());
    assert_eq!(counts(), (0, 1));
    let panics = service_fn(|()| async { if true { panic!("its own") } else { Ok::<_, Infallible>(()) } });
    let mut panics = ServiceBuilder::new().layer(layer()).service(panics);
    assert!(tokio::spawn(panics.call(())).await.unwrap_err().is_panic());
    assert_eq!(counts(), (1, 1));
}

/// A response whose score comes later carries who takes it.
#[tokio::test]
async fn a_promised_score_comes_through_the_reporter_or_is_missing() {
    let (_, _, breaker) =
        breaker("require_quality_signal = true\ntrip_on = { quality_below = { threshold = 0.5, window = 100 } }");
    let filled = || breaker.status().unwrap().conditions[0].filled;
    let layer = BreakerLayer::new(&breaker)
        .classify(|_: &Result<Vec<Reporter>, Infallible>| Outcome::success().with_pending_score());
    let answers = service_fn(|()| async { Ok(Vec::new()) });
    // Without the hook nobody could pay.
    let mut service = ServiceBuilder::new().layer(layer.clone()).service(answers);
    service.ready().await.unwrap().call(()).await.unwrap();
    assert_eq!(filled(), 1);
    let layer = layer.on_settled(|result, settled, reporter| {
        assert_eq!(settled.effect, Effect::Recorded);
        result.as_mut().unwrap().push(reporter);
    });
    let mut service = ServiceBuilder::new().layer(layer).service(answers);
    let mut response = service.ready().await.unwrap().call(()).await.unwrap();
    assert_eq!(filled(), 1);
    let reporter = response.pop().unwrap();
    assert_eq!(reporter.report_quality(0.8), Ok(Reported::Late { effect: Effect::Recorded, change: None }));
    drop(reporter);
    assert_eq!(filled(), 2);
    // The client goes away.
    drop(service.ready().await.unwrap().call(()).await.unwrap());
    assert_eq!(filled(), 3);
}

#[tokio::test]
async fn hooks_that_panic_cost_no_response() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let layer = BreakerLayer::new(&breaker)
        .classify(|_: &Result<&str, Infallible>| panic!("a hook of the user's"))
        .on_settled(|_, _, _| panic!("another"));
    let mut service = ServiceBuilder::new().layer(layer).service(service_fn(|()| async { Ok("own") }));
    assert_eq!(service.ready().await.unwrap().call(()).await, Ok("own"));
    assert_eq!(breaker.status().unwrap().totals.successes, 1);
}

#[tokio::test]
async fn a_clock_that_panics_costs_no_response() {
    #[derive(Clone, Default)]
    struct Moody(Arc<AtomicBool>);
    impl Clock for Moody {
        fn now(&self) -> Time {
            assert!(!self.0.load(Ordering::SeqCst), "a clock of the user's");
            Time::ZERO
        }
    }
    let clock = Moody::default();
    let registry = Registry::builder().cache(common::cache()).clock(clock.clone()).build().unwrap();
    let breaker = registry.breaker("llm", &registry.policy("test", TWO_FAILURES).unwrap()).unwrap();
    for hooked in [false, true] {
        clock.0.store(false, Ordering::SeqCst);
        let layer = BreakerLayer::new(&breaker);
        let layer =
            if hooked { layer.on_settled(|_, settled, _| assert_eq!(settled.effect, Effect::Recorded)) } else { layer };
        let broken = Arc::clone(&clock.0);
        let mut service = ServiceBuilder::new().layer(layer).service(service_fn(move |()| {
            broken.store(true, Ordering::SeqCst);
            async { Ok::<_, Infallible>("own") }
        }));
        assert_eq!(service.ready().await.unwrap().call(()).await, Ok("own"));
    }
    assert_eq!(breaker.status_at(Time::ZERO).unwrap().totals.successes, 2);
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
