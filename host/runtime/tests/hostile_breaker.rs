//! Breaker components that misbehave: calls are admitted or refused as configured, that is told, and state comes back.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{TWO_FAILURES, builder, clock, hostile_breaker};
use softfuse::{
    Breaker, ComponentFailure, Effect, Event, FailureKind, FailureMode, LoadError, ManualClock, Outcome, PolicyError,
    Registry, RegistryBuilder, State, Subscription,
};

/// Latencies by which the hostile component knows what to do.
const TRAP: u64 = 666;
const LOOP: u64 = 667;
const FORGET_BREAKER: u64 = 668;
const FORGET_PERMIT: u64 = 669;
const EAT_MEMORY: u64 = 670;

struct Set {
    registry: Registry,
    clock: Arc<ManualClock>,
    breaker: Breaker,
    events: Subscription,
}

fn set(configure: impl FnOnce(RegistryBuilder) -> RegistryBuilder) -> Set {
    let clock = clock();
    let builder = builder(&clock)
        .component_bytes("hostile", hostile_breaker())
        .component_instances(1)
        .component_deadline(Duration::from_millis(200))
        .component_memory_bytes_max(16 << 20);
    let registry = configure(builder).build().unwrap();
    let policy = registry.policy("any", "").unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    let events = registry.subscribe();
    Set { registry, clock, breaker, events }
}

fn settle(breaker: &Breaker, nanos: u64) -> Effect {
    let outcome = Outcome::success().with_latency(Duration::from_nanos(nanos));
    breaker.permit().unwrap().settle(outcome).effect
}

fn reason(failure: &ComponentFailure) -> &'static str {
    match failure {
        ComponentFailure::Trapped(_) => "trapped",
        ComponentFailure::DeadlineExceeded(_) => "deadline",
        ComponentFailure::OutOfMemory(_) => "memory",
        ComponentFailure::Nonsense(_) => "nonsense",
        ComponentFailure::Resting { .. } => "resting",
        _ => "other",
    }
}

const WAYS: [(u64, &str); 5] = [
    (TRAP, "trapped"),
    (LOOP, "deadline"),
    (FORGET_BREAKER, "nonsense"),
    (FORGET_PERMIT, "nonsense"),
    (EAT_MEMORY, "memory"),
];

#[test]
fn each_failure_is_told_and_the_state_comes_back() {
    for (way, expected) in WAYS {
        let set = set(|builder| builder);
        let early = set.breaker.permit().unwrap();
        assert_eq!(settle(&set.breaker, 1), Effect::Recorded);
        // Open, and saved for that.
        set.breaker.trip("so", None).unwrap();
        assert_eq!(set.breaker.permit().unwrap_err().trip_count, 7);
        let settled = early.settle(Outcome::success().with_latency(Duration::from_nanos(way)));
        assert_eq!((settled.effect, settled.change), (Effect::Lost, None));
        match set.events.try_next() {
            Some(Event::ComponentFailed { breaker, failure }) => {
                assert_eq!((&*breaker, reason(&failure)), ("llm", expected));
            }
            other => panic!("{other:?}"),
        }
        // A new instance, and the breaker in it is open still.
        assert_eq!(set.breaker.permit().unwrap_err().trip_count, 7);
        let restored = Event::BreakerRestored {
            breaker: "llm".into(),
            // The hostile one opens without saying so.
            state: State::Closed,
            records_lost: 1,
            from_snapshot: true,
        };
        assert_eq!(set.events.try_next(), Some(restored));
        let metrics = set.registry.metrics_text();
        for line in [
            &format!("softfuse_component_failures_total{{reason=\"{expected}\"}} 1"),
            "softfuse_component_restarts_total 1",
            "softfuse_records_lost_total 1",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
    }
}

#[test]
fn what_was_not_saved_is_lost_and_counted() {
    let set = set(|builder| builder.snapshot_every(10).snapshot_interval(Duration::ZERO));
    for _ in 0..13 {
        settle(&set.breaker, 1);
    }
    settle(&set.breaker, TRAP);
    drop(set.events.try_next());
    assert_eq!(settle(&set.breaker, 1), Effect::Recorded);
    // Three since the snapshot after the tenth, and the one that failed.
    let restored =
        Event::BreakerRestored { breaker: "llm".into(), state: State::Closed, records_lost: 4, from_snapshot: true };
    assert_eq!(set.events.try_next(), Some(restored));
}

/// What the host knows of a breaker follows, where it doesn't come back as it was.
#[test]
fn a_breaker_that_starts_afresh_is_known_to_be_closed() {
    let clock = clock();
    let registry = builder(&clock).component_bytes("hostile", hostile_breaker()).build().unwrap();
    let policy = registry.policy("any", TWO_FAILURES).unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    assert_eq!(settle(&breaker, 1), Effect::Recorded);
    registry.replace_component("honest", softfuse::components::BREAKER).unwrap();
    for _ in 0..2 {
        let _ = breaker.permit().unwrap().failure(FailureKind::Error);
    }
    assert_eq!(breaker.state(), State::Open);
    // The hostile one takes the snapshot, and gives one that no other takes.
    registry.replace_component("hostile", &hostile_breaker()).unwrap();
    breaker.reset().unwrap();
    let events = registry.subscribe();
    let report = registry.replace_component("honest", softfuse::components::BREAKER).unwrap();
    assert_eq!(report.refused.len(), 1);
    assert!(!breaker.is_open());
    let restored =
        Event::BreakerRestored { breaker: "llm".into(), state: State::Closed, records_lost: 0, from_snapshot: false };
    assert_eq!(events.try_next(), Some(restored));
    assert_eq!(breaker.state(), State::Closed);
    assert!(registry.metrics_text().contains("softfuse_state{breaker=\"llm\"} 0"));
}

/// An instance that fails takes none with it but the breakers that sit there.
#[test]
fn breakers_of_other_instances_are_left_alone() {
    let set = set(|builder| builder.component_instances(2));
    let policy = set.breaker.policy().clone();
    // They are spread in turn.
    let other = set.registry.breaker("other", &policy).unwrap();
    assert_eq!((settle(&set.breaker, 1), settle(&other, 1)), (Effect::Recorded, Effect::Recorded));
    assert_eq!(settle(&set.breaker, TRAP), Effect::Lost);
    assert_eq!((settle(&other, 1), settle(&set.breaker, 1)), (Effect::Recorded, Effect::Recorded));
    let restored: Vec<_> = std::iter::from_fn(|| set.events.try_next())
        .filter_map(|event| match event {
            Event::BreakerRestored { breaker, .. } => Some(breaker),
            _ => None,
        })
        .collect();
    assert_eq!(restored, ["llm".into()]);
}

#[test]
fn a_component_that_rests_is_told_of_once() {
    let set = rest(FailureMode::Open);
    for _ in 0..100 {
        assert_eq!(settle(&set.breaker, 1), Effect::Lost);
    }
    let told = std::iter::from_fn(|| set.events.try_next())
        .filter(|event| matches!(event, Event::ComponentFailed { .. }))
        .count();
    // Each trap, and none of the hundred calls that went without a breaker.
    assert_eq!(told, 3);
    let metrics = set.registry.metrics_text();
    assert!(metrics.contains("softfuse_unguarded_total{breaker=\"llm\"} 100"), "{metrics}");
}

/// However long ago the last instance was made: one that never starts hasn't lived.
#[test]
fn a_component_that_no_longer_starts_rests_for_longer_each_time() {
    let (clock, second) = (clock(), Duration::from_secs(1));
    let registry = builder(&clock)
        .component_instances(1)
        .component_rest(1, 60 * second, second, 4 * second)
        .failure_mode(FailureMode::Closed)
        .build()
        .unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    let starved = builder(&clock)
        .component_instances(1)
        .component_memory_bytes_max(64 << 10)
        .component_rest(1, 60 * second, second, 4 * second)
        .failure_mode(FailureMode::Closed)
        .build()
        .unwrap();
    clock.advance(100 * second);
    let refused = starved.policy("test", TWO_FAILURES).unwrap_err();
    assert!(matches!(refused, PolicyError::Component(ComponentFailure::NotStarting(_))), "{refused}");
    let again = starved.breaker("llm", &policy).unwrap();
    for seconds in [1, 2, 4, 4] {
        let rest = again.permit().unwrap_err().retry_after();
        assert_eq!(rest, Some(Duration::from_secs(seconds)));
        clock.advance(Duration::from_secs(seconds));
        assert!(matches!(again.status(), Err(ComponentFailure::NotStarting(_))));
    }
    assert!(breaker.permit().is_ok());
}

/// Fails so often that it rests, and meanwhile calls are admitted or refused as the mode says.
fn rest(mode: FailureMode) -> Set {
    let second = Duration::from_secs(1);
    let set = set(|builder| builder.failure_mode(mode).component_rest(3, 60 * second, second, 4 * second));
    for _ in 0..3 {
        assert_eq!(settle(&set.breaker, TRAP), Effect::Lost);
    }
    set
}

#[test]
fn it_fails_open_where_that_is_configured() {
    let set = rest(FailureMode::Open);
    assert!(!set.breaker.is_open());
    let permit = set.breaker.permit().unwrap();
    assert!(!permit.is_guarded());
    let settled = permit.failure(FailureKind::Error);
    assert_eq!(settled.effect, Effect::Lost);
    assert_eq!(settled.late.report_quality(0.5).unwrap().0, Effect::Lost);
    assert!(matches!(set.breaker.status(), Err(ComponentFailure::Resting { failures: 3, .. })));
    // Counted all the same.
    assert!(set.registry.metrics_text().contains("softfuse_call_total{breaker=\"llm\",outcome=\"failure\"} 1"));
    set.clock.advance(Duration::from_secs(1));
    assert!(set.breaker.permit().unwrap().is_guarded());
}

#[test]
fn it_fails_closed_where_that_is_configured() {
    let set = rest(FailureMode::Closed);
    let rejected = set.breaker.permit().unwrap_err();
    assert_eq!(rejected.retry_after(), Some(Duration::from_secs(1)));
    assert!(matches!(rejected.component_failure, Some(ComponentFailure::Resting { failures: 3, .. })));
    assert!(rejected.to_string().contains("rests for 1s"), "{rejected}");
    assert!(set.breaker.is_open());
    set.clock.advance(Duration::from_secs(1));
    assert!(!set.breaker.is_open());
}

#[test]
fn rests_grow_and_have_a_cap() {
    let set = rest(FailureMode::Closed);
    // After a rest it has one try, and rests for longer when that fails.
    for seconds in [1, 2, 4, 4] {
        let rest = Duration::from_secs(seconds);
        assert_eq!(set.breaker.permit().unwrap_err().retry_after(), Some(rest));
        set.clock.advance(rest - Duration::from_nanos(1));
        assert_eq!(set.breaker.permit().unwrap_err().retry_after(), Some(Duration::from_nanos(1)));
        set.clock.advance(Duration::from_nanos(1));
        assert_eq!(settle(&set.breaker, TRAP), Effect::Lost);
    }
}

#[test]
fn nonsense_answers_panic_nowhere() {
    let set = set(|builder| builder.failure_mode(FailureMode::Closed));
    assert!(matches!(set.breaker.status(), Err(ComponentFailure::Nonsense(_))));
    assert_eq!(set.breaker.would_refuse(), None);
    assert_eq!(set.breaker.snapshot().unwrap(), [0]);
    assert_eq!(set.breaker.reset().unwrap(), None);
    let late = set.breaker.permit().unwrap().success().late;
    assert_eq!(late.report_missing().0, Effect::Recorded);
}

/// A newer component takes the place of one that is at work; what it refuses starts afresh, and that is said.
#[test]
fn an_honest_component_takes_over_from_a_hostile_one() {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    for _ in 0..2 {
        let _ = breaker.permit().unwrap().failure(FailureKind::Error);
    }
    // The hostile one takes any bytes for a snapshot.
    let report = registry.replace_component("hostile", &hostile_breaker()).unwrap();
    assert_eq!((report.restored.len(), report.refused.len(), &*registry.component_name()), (1, 0, "hostile"));
    // The honest one doesn't take the hostile one's.
    let report = registry.replace_component("honest", softfuse::components::BREAKER).unwrap();
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert_eq!(&*report.refused[0].0, "llm");
    // What the host keeps is the honest one's own snapshot, from the trip.
    assert!(breaker.is_open());
    assert_eq!(breaker.status().unwrap().state, State::Open);
}

#[test]
fn a_hot_upgrade_loses_nothing() {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("test", "trip_on = { consecutive_failures = 5 }").unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    let events = registry.subscribe();
    let early = breaker.permit().unwrap();
    for _ in 0..3 {
        let _ = breaker.permit().unwrap().failure(FailureKind::Error);
    }
    let before = breaker.status().unwrap();
    let report = registry.replace_component("again", softfuse::components::BREAKER).unwrap();
    assert_eq!((report.restored, report.refused), (vec!["llm".into()], vec![]));
    assert_eq!(breaker.status().unwrap(), before);
    // A permit that the old one gave is good in the new one.
    assert_eq!(early.failure(FailureKind::Error).effect, Effect::Recorded);
    let _ = breaker.permit().unwrap().failure(FailureKind::Error);
    assert_eq!(breaker.state(), State::Open);
    assert!(matches!(events.try_next(), Some(Event::StateChanged { .. })));
    assert_eq!(events.try_next(), None);
}

#[test]
fn what_is_no_breaker_component_is_refused_with_its_reason() {
    let load = |bytes: &[u8]| builder(&clock()).component_bytes("it", bytes).build().map(|_| ());
    assert!(matches!(load(b"not wasm"), Err(LoadError::NotAComponent { .. })));
    let scorer = common::scorer("unreachable");
    assert!(matches!(load(&scorer), Err(LoadError::ContractBroken { message, .. }) if message.contains("breaker")));
    assert!(matches!(
        builder(&clock()).component_file("/no/such/file.wasm").build().map(|_| ()),
        Err(LoadError::Unreadable { .. })
    ));
    let more = "package test:hostile; interface net { fetch: func(); }
        world hostile { import net; include softfuse:breaker/circuit-breaker@0.1.0; }";
    let wat = include_str!("common/hostile_breaker.wat").replacen(
        "(module",
        "(module (import \"test:hostile/net\" \"fetch\" (func))",
        1,
    );
    let greedy = common::component("breaker", "hostile", more, &wat);
    match load(&greedy) {
        Err(LoadError::NotGranted { imports, .. }) => assert_eq!(imports, ["test:hostile/net"]),
        other => panic!("{other:?}"),
    }
}

/// The library's own component, starved of memory: it fails in earnest, and what was open stays open.
#[test]
fn the_real_component_runs_out_of_memory_and_comes_back() {
    let clock = clock();
    let registry = builder(&clock).component_memory_bytes_max(1_700_000).component_instances(1).build().unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    let events = registry.subscribe();
    for _ in 0..2 {
        let _ = breaker.permit().unwrap().failure(FailureKind::Error);
    }
    let (open, status) = (breaker.would_refuse().unwrap(), breaker.status().unwrap());
    let long = format!("#{}", "x".repeat(softfuse::POLICY_BYTES_MAX - 1));
    let failed = registry.policy("long", &long).unwrap_err();
    assert_eq!(failed, PolicyError::Component(ComponentFailure::OutOfMemory(1_700_000)));
    assert!(matches!(events.try_next(), Some(Event::StateChanged { .. })));
    assert_eq!((breaker.would_refuse(), breaker.status()), (Some(open), Ok(status)));
    let restored =
        Event::BreakerRestored { breaker: "llm".into(), state: State::Open, records_lost: 0, from_snapshot: true };
    assert_eq!(events.try_next(), Some(restored));
    assert!(registry.metrics_text().contains("softfuse_component_failures_total{reason=\"memory\"} 1"));
}
