//! Leases: healthy services are hardly asked about, nothing is lost, and no decision comes later than it would.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{TWO_FAILURES, builder, clock, fail};
use softfuse::{Breaker, Effect, FailureKind, Outcome, Registry, State, Time};

const MIXED: &str = "half_open_after = \"10s\"\n[trip_on]\nany_of = [\n\
    { quality_below = { threshold = 0.7, window = 20 } },\n\
    { error_rate_above = { rate = 0.5, window = 20 } } ]";

fn registry(policy: &str, lease_after: u32) -> (Registry, Breaker) {
    let registry = builder(&clock()).lease_after(lease_after).build().unwrap();
    let policy = registry.policy("test", policy).unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    (registry, breaker)
}

/// A number of the metrics.
fn metric(registry: &Registry, line: &str) -> u64 {
    let text = registry.metrics_text();
    let found = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_else(|| panic!("{line}\n{text}"));
    found.trim().parse().unwrap()
}

fn leased(registry: &Registry) -> u64 {
    metric(registry, "softfuse_leased_total{breaker=\"llm\"}")
}

/// Numbers that look random, from 0 to 1, the same each time.
fn wobble(seed: u64) -> f64 {
    let mixed = (seed.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn a_healthy_service_is_hardly_asked_about() {
    let (registry, breaker) = registry(MIXED, 16);
    for number in 0..5_000 {
        let mut permit = breaker.permit().unwrap();
        // About .80, and one in five under the threshold.
        permit.report_quality(0.8 + 0.3 * (wobble(number) - 0.5)).unwrap();
        assert_eq!(permit.success().effect, Effect::Recorded);
    }
    assert_eq!(breaker.status().unwrap().totals.successes, 5_000);
    assert!(leased(&registry) > 4_000, "{}", leased(&registry));
    assert_eq!(metric(&registry, "softfuse_call_total{breaker=\"llm\",outcome=\"success\"}"), 5_000);
    assert_eq!(metric(&registry, "softfuse_quality_score_count{breaker=\"llm\"}"), 5_000);
}

#[test]
fn nothing_is_leased_where_that_is_not_wanted() {
    let (registry, breaker) = registry(MIXED, u32::MAX);
    for _ in 0..200 {
        let _ = breaker.permit().unwrap().success();
    }
    assert_eq!(leased(&registry), 0);
}

/// What waits is not forgotten by whoever looks: status, metrics, snapshots, the end.
#[test]
fn whoever_looks_sees_all() {
    let (registry, breaker) = registry("trip_on = { consecutive_failures = 2 }", 0);
    let settle = || assert_eq!(breaker.permit().unwrap().success().effect, Effect::Recorded);
    (0..10).for_each(|_| settle());
    assert_eq!(metric(&registry, "softfuse_call_total{breaker=\"llm\",outcome=\"success\"}"), 10);
    (0..10).for_each(|_| settle());
    assert_eq!(breaker.status().unwrap().totals.successes, 20);
    (0..10).for_each(|_| settle());
    let snapshot = breaker.snapshot().unwrap();
    let again = registry.restore("again", breaker.policy(), Default::default(), &snapshot, Duration::ZERO).unwrap();
    assert_eq!(again.status().unwrap().totals.successes, 30);
    (0..10).for_each(|_| settle());
    let report = registry.replace_component("again", softfuse::components::BREAKER).unwrap();
    assert_eq!(report.refused, []);
    assert_eq!(breaker.status().unwrap().totals.successes, 40);
    assert!(leased(&registry) > 30);
}

#[test]
fn refusals_are_leased_and_exact() {
    let (registry, breaker) = registry(TWO_FAILURES, 0);
    let at = |millis: u64| Time::ZERO + Duration::from_millis(millis);
    for _ in 0..2 {
        let permit = breaker.permit_at(at(1)).unwrap();
        let _ = permit.settle_at(Outcome::failure(FailureKind::Error), at(2));
    }
    for millis in 2..5_000 {
        let rejected = breaker.permit_at(at(millis)).unwrap_err();
        assert_eq!(rejected.retry_after(), Some(Duration::from_millis(10_002 - millis)));
        assert_eq!((rejected.state, rejected.trip_count), (State::Open, 1));
        assert!(rejected.reason.as_deref().is_some_and(|reason| reason.contains('2')), "{rejected}");
    }
    assert_eq!(breaker.status_at(at(5_000)).unwrap().totals.rejections, 4_998);
    assert_eq!(metric(&registry, "softfuse_call_total{breaker=\"llm\",outcome=\"rejected\"}"), 4_998);
    assert!(breaker.permit_at(at(10_001)).is_err());
    // The first call after the period is a probe.
    assert!(breaker.permit_at(at(10_002)).is_ok());
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn a_disabled_circuit_looks_away_from_what_is_leased() {
    let (registry, breaker) = registry(TWO_FAILURES, 0);
    breaker.set_operator_state(softfuse::OperatorState::Disabled).unwrap();
    for _ in 0..100 {
        assert_eq!(breaker.permit().unwrap().success().effect, Effect::Ignored);
    }
    assert_eq!(breaker.status().unwrap().totals.successes, 100);
    assert!(leased(&registry) > 50);
}

/// A service that fails always costs what asking costs, and no lease that keeps nothing is asked for again and again.
#[test]
fn a_failing_service_is_asked_about_each_time() {
    let (registry, breaker) = registry("trip_on = { error_rate_above = { rate = 0.9, window = 100 } }", 0);
    for number in 0..2_000 {
        let permit = breaker.permit().unwrap();
        let _ = if number % 3 == 0 { permit.failure(FailureKind::Error) } else { permit.success() };
    }
    let totals = breaker.status().unwrap().totals;
    assert_eq!((totals.successes, totals.failures), (1_333, 667));
    assert!(leased(&registry) < 500, "{}", leased(&registry));
}

/// Many threads, healthy and failing at once: each outcome is counted once, and once the circuit has tripped nobody who
/// comes later is admitted.
#[test]
fn threads_agree_with_the_component() {
    const THREADS: u64 = 4;
    const EACH: u64 = 20_000;
    for policy in [
        MIXED,
        "trip_on = { error_rate_above = { rate = 0.5, window = 100 } }",
        "trip_on = { consecutive_failures = 50 }",
    ] {
        let (registry, breaker) = registry(policy, 16);
        let rejected = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (breaker, rejected) = (&breaker, &rejected);
                scope.spawn(move || {
                    for number in 0..EACH {
                        let at = Time::ZERO + Duration::from_micros(number);
                        let wobble = wobble(thread << 32 | number);
                        let Ok(mut permit) = breaker.permit_at(at) else {
                            rejected.fetch_add(1, Ordering::Relaxed);
                            continue;
                        };
                        let outcome =
                            if wobble < 0.01 { Outcome::failure(FailureKind::Error) } else { Outcome::success() };
                        permit.report_quality(0.85 + 0.4 * (wobble - 0.5)).unwrap();
                        let _ = permit.settle_at(outcome, at);
                    }
                });
            }
        });
        let status = breaker.status().unwrap();
        let (calls, refused) = (status.totals.calls, rejected.load(Ordering::Relaxed));
        assert_eq!((calls + refused, status.totals.rejections), (THREADS * EACH, refused), "{policy}");
        assert_eq!(metric(&registry, "softfuse_latency_seconds_count{breaker=\"llm\"}"), calls);
        assert!(leased(&registry) > calls / 4, "{policy}: {}", leased(&registry));
    }
}

#[test]
fn a_trip_ends_admission_in_every_thread() {
    for round in 0..200u64 {
        let (_, breaker) = registry(TWO_FAILURES, 0);
        let tripped = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        // Looked at before asking: whoever asks after the trip must be refused.
                        let after = tripped.load(Ordering::Acquire);
                        match breaker.permit_at(Time::ZERO) {
                            Ok(permit) => {
                                assert!(!after, "admitted after the trip");
                                let _ = permit.settle_at(Outcome::success(), Time::ZERO);
                            }
                            Err(rejected) => {
                                assert_eq!(rejected.state, State::Open);
                                break;
                            }
                        }
                    }
                });
            }
            (0..round).for_each(|_| std::hint::spin_loop());
            breaker.trip_at("enough", None, Time::ZERO).unwrap();
            tripped.store(true, Ordering::Release);
        });
        fail_is_stale(&breaker);
    }
}

fn fail_is_stale(breaker: &Breaker) {
    assert!(breaker.permit_at(Time::ZERO).is_err());
    breaker.reset().unwrap();
    fail(breaker);
    assert_eq!(breaker.status().unwrap().consecutive_failures, 1);
}
