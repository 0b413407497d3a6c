//! Hot upgrades over several instances: everybody comes along, or nothing has changed, or it is said who was lost.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{TWO_FAILURES, builder, clock, fail, hostile_breaker, hostile_breaker_with};
use softfuse::{
    Breaker, CircuitStatus, ComponentFailure, Effect, Event, FailureKind, Keyed, KeyedSettings, Registry, ReplaceError,
    State, components,
};

const INSTANCES: usize = 3;

/// A registry of three instances with named breakers and a family, two of each in every instance; every other one is open.
struct Fleet {
    registry: Registry,
    family: Keyed,
    breakers: Vec<Breaker>,
}

fn fleet() -> Fleet {
    let registry = builder(&clock()).component_instances(INSTANCES).build().unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    let family = registry.keyed("tenant", &policy, KeyedSettings { live_max: 100, ..Default::default() }).unwrap();
    let named = (0..2 * INSTANCES).map(|n| registry.breaker(&format!("llm-{n}"), &policy).unwrap());
    let mut breakers: Vec<Breaker> = named.collect();
    breakers.extend((0..2 * INSTANCES).map(|n| family.get(&n.to_string()).unwrap()));
    for (index, breaker) in breakers.iter().enumerate() {
        for _ in 0..=index % 2 {
            fail(breaker);
        }
    }
    Fleet { registry, family, breakers }
}

fn statuses(fleet: &Fleet) -> Vec<CircuitStatus> {
    fleet.breakers.iter().map(|breaker| breaker.status().unwrap()).collect()
}

fn names(breakers: &[Breaker]) -> Vec<Arc<str>> {
    let mut names: Vec<_> = breakers.iter().map(|breaker| Arc::clone(breaker.name())).collect();
    names.sort_unstable();
    names
}

#[test]
fn named_and_keyed_breakers_of_every_instance_come_along() {
    let fleet = fleet();
    let (before, events) = (statuses(&fleet), fleet.registry.subscribe());
    let early = fleet.breakers[0].permit().unwrap();
    let report = fleet.registry.replace_component("again", components::BREAKER).unwrap();
    assert_eq!((report.restored, report.refused, report.lost), (names(&fleet.breakers), vec![], vec![]));
    assert_eq!(statuses(&fleet), before);
    // What was never used had nothing to bring, and works.
    assert_eq!(fleet.family.overflow().status().unwrap().totals.calls, 0);
    // A permit of the old one is the second failure of its breaker.
    assert_eq!(early.failure(FailureKind::Error).effect, Effect::Recorded);
    assert_eq!(fleet.breakers[0].state(), State::Open);
    assert!(matches!(events.try_next(), Some(Event::StateChanged { .. })));
    assert_eq!(events.try_next(), None);
    assert!(fleet.registry.metrics_text().contains("softfuse_component_restarts_total 0"));
}

#[test]
fn a_component_that_fails_in_one_instance_takes_the_place_of_none() {
    let fleet = fleet();
    let (before, events) = (statuses(&fleet), fleet.registry.subscribe());
    // One more in one of the instances: there alone it is asked for a third restore.
    let third = "(if (i32.eq (global.get $calls) (i32.const 3)) (then unreachable))";
    let extra = fleet.registry.breaker("extra", fleet.breakers[0].policy()).unwrap();
    fail(&extra);
    let hostile = hostile_breaker_with("", third);
    for _ in 0..3 {
        match fleet.registry.replace_component("hostile", &hostile) {
            Err(ReplaceError::Failed(ComponentFailure::Trapped(_))) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!((statuses(&fleet), &*fleet.registry.component_name()), (before.clone(), "softfuse-breaker"));
    }
    assert_eq!(events.try_next(), None);
    fail(&extra);
    assert_eq!(extra.state(), State::Open);
    assert!(fleet.registry.metrics_text().contains("softfuse_component_restarts_total 0"));
}

/// The new component's word counts for what its breakers take.
#[test]
fn a_component_with_no_room_for_the_breakers_is_refused() {
    let registry = builder(&clock())
        .component_bytes("hostile", hostile_breaker())
        .component_memory_bytes_max(4 << 20)
        .component_instances(1)
        .build()
        .unwrap();
    // The hostile one says that its breakers take nothing.
    let condition = "{ quality_below = { threshold = 0.5, window = 100_000 } }";
    let text = format!("trip_on = {{ all_of = [{condition}, {condition}] }}");
    let policy = registry.policy("large", &text).unwrap();
    let breakers = ["a", "b"].map(|name| registry.breaker(name, &policy).unwrap());
    for breaker in &breakers {
        assert_eq!(breaker.permit().unwrap().success().effect, Effect::Recorded);
    }
    match registry.replace_component("honest", components::BREAKER) {
        Err(ReplaceError::Failed(ComponentFailure::BreakerRefused { message, .. })) => {
            assert!(message.contains("component_memory_bytes_max"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    for breaker in &breakers {
        assert_eq!(breaker.permit().unwrap().success().effect, Effect::Recorded);
    }
    assert_eq!(&*registry.component_name(), "hostile");
}

/// Whose state the old component doesn't give is named, and comes back from its last snapshot.
#[test]
fn those_whose_state_the_old_component_keeps_are_said_to_be_lost() {
    let fourth = "(if (i32.eq (global.get $calls) (i32.const 4)) (then unreachable))";
    let registry = builder(&clock())
        .component_bytes("hostile", hostile_breaker_with(fourth, ""))
        .component_instances(1)
        .snapshot_every(1)
        .snapshot_interval(Duration::ZERO)
        .build()
        .unwrap();
    let policy = registry.policy("any", "").unwrap();
    let breakers = ["a", "b", "c"].map(|name| registry.breaker(name, &policy).unwrap());
    for breaker in &breakers {
        assert_eq!(breaker.permit().unwrap().success().effect, Effect::Recorded);
    }
    let events = registry.subscribe();
    // The fourth snapshot is the first of the upgrade.
    let report = registry.replace_component("again", &hostile_breaker()).unwrap();
    assert_eq!((report.restored, report.refused, report.lost), (vec![], vec![], names(&breakers)));
    for breaker in &breakers {
        assert_eq!(breaker.permit().unwrap().success().effect, Effect::Recorded);
        let (breaker, state) = (Arc::clone(breaker.name()), State::Closed);
        let restored = Event::BreakerRestored { breaker, state, records_lost: 0, from_snapshot: true };
        assert_eq!(events.try_next(), Some(restored));
    }
    // Those whom the old one no longer knows, though it is well.
    let forgets = "(if (i32.ge_u (global.get $calls) (i32.const 4)) (then (return (i32.const 2048))))";
    let report = registry.replace_component("forgetful", &hostile_breaker_with(forgets, "")).unwrap();
    assert_eq!((report.restored, report.lost), (names(&breakers), vec![]));
    let report = registry.replace_component("again", &hostile_breaker()).unwrap();
    assert_eq!((report.restored, report.lost), (vec![], names(&breakers)));
    assert_eq!(breakers[0].permit().unwrap().success().effect, Effect::Recorded);
}
