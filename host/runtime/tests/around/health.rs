//! Health: which circuits count, as what, and what a health page says.

use std::time::Duration;

use serde_json::{Value, json};
use softfuse::{FailureMode, KeyedSettings, OperatorState, Outcome, Registry, State};

use crate::common::{TWO_FAILURES, breaker, builder, clock, fail, hostile_breaker};

fn with(names: &[&str]) -> Registry {
    let registry = builder(&clock()).build().unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    for name in names {
        registry.breaker(name, &policy).unwrap();
    }
    registry
}

fn trip(registry: &Registry, name: &str) {
    let breaker = registry.get(name).unwrap();
    fail(&breaker);
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
}

/// Healthy, the status, the sentence.
fn said(registry: &Registry) -> (bool, u16, String) {
    let health = registry.health();
    (health.is_healthy(), health.status_code(), health.to_string())
}

#[test]
fn half_of_the_circuits_make_it_unhealthy() {
    let registry = with(&[]);
    assert_eq!(said(&registry), (true, 200, "0/0 circuits healthy".to_owned()));
    let registry = with(&["a", "b", "c", "d"]);
    for (name, expected) in [("a", (true, 200, "3/4")), ("b", (false, 503, "2/4")), ("c", (false, 503, "1/4"))] {
        trip(&registry, name);
        let (healthy, status, share) = expected;
        assert_eq!(said(&registry), (healthy, status, format!("{share} circuits healthy")));
    }
    let registry = with(&["a", "b", "c"]);
    trip(&registry, "a");
    assert_eq!(said(&registry), (true, 200, "2/3 circuits healthy".to_owned()));
}

/// The page of a service whose circuit is open and idle must recover, or nothing would ever be sent its way.
#[test]
fn open_is_what_would_refuse_now() {
    let (registry, clock, breaker) = breaker(TWO_FAILURES);
    trip(&registry, "llm");
    clock.advance(Duration::from_secs(4));
    let health = registry.health();
    assert_eq!((health.status_code(), health.circuits[0].retry_after), (503, Some(Duration::from_secs(6))));
    assert_eq!(registry.health_at(clock_at(10)).status_code(), 200);
    clock.advance(Duration::from_secs(6));
    for _ in 0..10 {
        let health = registry.health();
        assert_eq!((health.status_code(), health.circuits[0].state), (200, State::Open));
    }
    // No probe was taken by asking: both are there, and with both under way it refuses.
    let (first, _second) = (breaker.permit().unwrap(), breaker.permit().unwrap());
    let health = registry.health();
    assert_eq!((health.status_code(), health.circuits[0].state), (503, State::HalfOpen));
    drop(first);
    assert_eq!(registry.health().status_code(), 200);
    // An operator's states are as they do.
    breaker.set_operator_state(OperatorState::ForcedOpen).unwrap();
    assert_eq!(registry.health().status_code(), 503);
    breaker.set_operator_state(OperatorState::Disabled).unwrap();
    assert_eq!(registry.health().status_code(), 200);
}

fn clock_at(seconds: i64) -> softfuse::Time {
    softfuse::Time::from_millis(seconds * 1000)
}

#[test]
fn the_page_has_each_circuits_state_and_failure_rate() {
    let registry = with(&["good", "idle", "poor"]);
    let good = registry.get("good").unwrap();
    for _ in 0..3 {
        let _ = good.permit().unwrap().success();
    }
    fail(&good);
    // Neutral, and counted nowhere.
    let _ = good.permit().unwrap().settle(Outcome::cancelled());
    trip(&registry, "poor");
    assert!(registry.get("poor").unwrap().permit().is_err());
    let reason = registry.get("poor").unwrap().status().unwrap().last_trip.unwrap().text;
    let circuit = |name: &str, rate: Value| {
        json!({
            "name": name, "state": "closed", "available": true, "failure_rate": rate, "trip_count": 0,
            "retry_after_seconds": null, "reason": null, "component_failure": null,
        })
    };
    let expected = json!({
        "status": "healthy", "summary": "2/3 circuits healthy", "available": 2, "total": 3,
        "circuits": [circuit("good", json!(0.25)), circuit("idle", Value::Null), {
            "name": "poor", "state": "open", "available": false, "failure_rate": 1.0, "trip_count": 1,
            "retry_after_seconds": 10.0, "reason": reason, "component_failure": null,
        }],
        "families": [],
    });
    let health = registry.health();
    assert_eq!(serde_json::from_str::<Value>(&health.to_json()).unwrap(), expected);
    assert_eq!(serde_json::to_value(&health).unwrap(), expected);
    // Once it has closed again, why it opened is history.
    registry.get("poor").unwrap().reset().unwrap();
    assert_eq!(registry.health().circuits[2].reason, None);
}

#[test]
fn a_family_is_one_circuit() {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    let settings = KeyedSettings { live_max: 4, ..KeyedSettings::default() };
    let family = registry.keyed("tenant", &policy, settings).unwrap();
    let at = |registry: &Registry| {
        let family = registry.health().families[0].clone();
        (family.available, family.refusing, family.at_work)
    };
    // None is at work, and the overflow breaker has served nobody.
    assert_eq!((at(&registry), said(&registry).1), ((true, 0, 0), 200));
    for key in ["a", "b", "c", "d", "e"] {
        let _ = family.get(key).unwrap().permit().unwrap().success();
    }
    assert_eq!((at(&registry), family.retired()), ((true, 0, 4), 1));
    let open = |key| {
        let breaker = family.get(key).unwrap();
        fail(&breaker);
        fail(&breaker);
    };
    open("e");
    assert_eq!(at(&registry), (true, 1, 4));
    open("d");
    assert_eq!(at(&registry), (false, 2, 4));
    // Its ten keys weigh as much as one circuit.
    for name in ["x", "y"] {
        registry.breaker(name, &policy).unwrap();
    }
    assert_eq!(said(&registry), (true, 200, "2/3 circuits healthy".to_owned()));
    assert!(!registry.health().to_json().contains("\"e\""), "keys are told nobody");
    // All four open, further keys are served by the overflow breaker, which counts from then on.
    for key in ["b", "c", "f", "g"] {
        let breaker = family.get(key).unwrap();
        if breaker.name() != family.overflow().name() {
            open(key);
        }
    }
    assert_eq!(at(&registry), (false, 4, 4));
    let served = family.get("z").unwrap();
    assert_eq!(served.name(), family.overflow().name());
    let _ = served.permit().unwrap().success();
    assert_eq!(at(&registry), (false, 4, 5));
    open("z");
    assert_eq!(at(&registry), (false, 5, 5));
    // Their open periods pass by themselves.
    clock.advance(Duration::from_secs(10));
    assert_eq!((at(&registry), said(&registry).2.as_str()), ((true, 0, 5), "3/3 circuits healthy"));
}

#[test]
fn a_component_that_fails_is_on_the_page() {
    for (mode, available) in [(FailureMode::Open, true), (FailureMode::Closed, false)] {
        let clock = clock();
        let hostile = builder(&clock).component_bytes("hostile", hostile_breaker()).component_instances(1);
        let registry = hostile.failure_mode(mode).build().unwrap();
        let breaker = registry.breaker("llm", &registry.policy("any", "").unwrap()).unwrap();
        // It traps again and again, until it rests.
        for _ in 0..20 {
            if let Ok(permit) = breaker.permit() {
                let _ = permit.settle(Outcome::success().with_latency(Duration::from_nanos(666)));
            }
        }
        let health = registry.health();
        let circuit = &health.circuits[0];
        let failure = circuit.component_failure.as_deref().unwrap_or_default();
        assert!(failure.contains("rests for"), "{failure}");
        assert_eq!((circuit.available, circuit.failure_rate, circuit.trip_count), (available, None, None));
        assert_eq!(health.status_code(), if available { 200 } else { 503 });
    }
}
