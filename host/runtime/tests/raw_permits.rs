//! Permits as plain numbers, for hosts in other languages: they count as the others do, and wrong ones harm nothing.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{POOR_QUALITY, TWO_FAILURES, breaker};
use softfuse::{Breaker, Effect, FailureKind, Outcome, RawPermit, State, Time};

fn count(heard: &AtomicU32, by: u32) {
    heard.fetch_add(by, Ordering::Relaxed);
}

fn settle(breaker: &Breaker, outcome: Outcome, now: Time) -> Effect {
    let permit = breaker.raw_permit_at(now).unwrap();
    breaker.settle_raw_at(permit, outcome, now).effect
}

#[test]
fn they_count_as_borrowed_ones_do() {
    let (_registry, _clock, breaker) = breaker(TWO_FAILURES);
    let at = Time::from_millis;
    let permit = breaker.raw_permit_at(at(1)).unwrap();
    let (number, admitted_at) = permit.to_parts();
    assert_eq!((RawPermit::from_parts(number, admitted_at), admitted_at), (permit, at(1)));
    let settled = breaker.settle_raw_at(permit, Outcome::success(), at(4));
    assert_eq!((settled.effect, settled.latency), (Effect::Recorded, Duration::from_millis(3)));
    for now in [5, 6] {
        assert_eq!(settle(&breaker, Outcome::failure(FailureKind::Error), at(now)), Effect::Recorded);
    }
    assert_eq!(breaker.raw_permit_at(at(7)).unwrap_err().state, State::Open);
    // A probe, which is settled twice: stale the second time.
    let probe = breaker.raw_permit_at(at(20_000)).unwrap();
    assert_eq!(breaker.settle_raw_at(probe, Outcome::success(), at(20_001)).effect, Effect::Probed);
    assert_eq!(breaker.settle_raw_at(probe, Outcome::success(), at(20_002)).effect, Effect::Stale);
    // One that is forgotten is not settled by itself.
    let status = breaker.status_at(at(20_003)).unwrap();
    let _ = breaker.raw_permit_at(at(20_004)).unwrap();
    assert_eq!(breaker.status_at(at(20_005)).unwrap().totals, status.totals);
}

#[test]
fn late_scores_come_by_them_too() {
    let (_registry, _clock, breaker) = breaker(POOR_QUALITY);
    let at = Time::from_millis;
    let permit = breaker.raw_permit_at(at(1)).unwrap();
    let _ = breaker.settle_raw_at(permit, Outcome::success(), at(2));
    let late = breaker.raw_late_scores(permit);
    assert_eq!(late.report_quality_at(0.1, at(3)).unwrap().0, Effect::Recorded);
    let (effect, change) = late.report_quality_at(0.2, at(4)).unwrap();
    assert!(effect == Effect::Recorded && change.is_some_and(|change| change.is_trip()));
    assert_eq!(late.report_missing_at(at(5)).0, Effect::Stale);
}

#[test]
fn wrong_ones_harm_nothing() {
    let (registry, _clock, breaker) = breaker(TWO_FAILURES);
    let now = Time::from_millis(1);
    let failures = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&failures);
    let _listener = registry.listen(move |_| count(&seen, 1));
    let right = breaker.raw_permit_at(now).unwrap().to_parts().0;
    for bit in 0..64 {
        let wrong = RawPermit::from_parts(right ^ 1 << bit, now);
        let effect = breaker.settle_raw_at(wrong, Outcome::failure(FailureKind::Error), now).effect;
        assert!(matches!(effect, Effect::Lost | Effect::Stale), "bit {bit}: {effect:?}");
        let (effect, _) = breaker.raw_late_scores(wrong).report_quality_at(0.5, now).unwrap();
        assert!(matches!(effect, Effect::Lost | Effect::Stale), "bit {bit}: {effect:?}");
    }
    // No event, so no failure of the component, and nothing in the windows.
    assert_eq!((failures.load(Ordering::Relaxed), breaker.state()), (0, State::Closed));
    assert_eq!(breaker.status_at(now).unwrap().consecutive_failures, 0);
    assert!(!registry.metrics_text().contains("softfuse_component_failures_total{"));
}

#[test]
fn a_listener_hears_until_it_is_dropped() {
    let (registry, _clock, breaker) = breaker(TWO_FAILURES);
    let heard = Arc::new(AtomicU32::new(0));
    let (first, second) = (Arc::clone(&heard), Arc::clone(&heard));
    let one = registry.listen(move |_| count(&first, 1));
    let two = registry.listen(move |_| count(&second, 10));
    breaker.trip("maintenance", None).unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 11);
    drop(one);
    breaker.reset().unwrap();
    assert_eq!((heard.load(Ordering::Relaxed), Arc::strong_count(&heard)), (21, 2));
    drop(registry);
    drop(breaker);
    // After its registry, too.
    drop(two);
    assert_eq!(Arc::strong_count(&heard), 1);
}
