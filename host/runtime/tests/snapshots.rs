//! Snapshots at which a component fails, on their way out and in; and what is handed to a component that is too long for it.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{HOSTS_OWN, PanickingLog, TWO_FAILURES, builder, clock, fail, hostile_breaker_with};
use softfuse::{
    Breaker, CallRecord, ComponentFailure, Condition, Conditions, Effect, Event, Outcome, Registry, RegistryError,
    RestoreError, State,
};

/// Latencies by which the hostile component knows what to do.
const TRAP: u64 = 666;
const OPEN_UNSAVABLY: u64 = 671;
/// The hostile component's snapshot of an open circuit makes it trap.
const OPEN_TRAPS: &str = "(if (i32.load8_u (local.get $bytes)) (then unreachable))";

fn settle(breaker: &Breaker, nanos: u64) -> Effect {
    breaker.permit().unwrap().settle(Outcome::success().with_latency(Duration::from_nanos(nanos))).effect
}

fn hostile(at_snapshot: &str, at_restore: &str) -> Registry {
    builder(&clock())
        .component_bytes("hostile", hostile_breaker_with(at_snapshot, at_restore))
        .component_instances(1)
        .snapshot_every(1)
        .snapshot_interval(Duration::ZERO)
        .build()
        .unwrap()
}

fn failures(registry: &Registry) -> String {
    let metrics = registry.metrics_text();
    let of_failures = |line: &&str| line.starts_with("softfuse_component_failures_total{");
    metrics.lines().filter(of_failures).collect::<Vec<_>>().join("\n")
}

/// A trip takes a snapshot, for which there is room however full the windows are.
#[test]
fn a_trip_of_a_breaker_that_fills_its_instance_is_saved() {
    const WINDOW: u32 = 20_000;
    let clock = clock();
    let registry = builder(&clock)
        .component_memory_bytes_max(4 << 20)
        .component_instances(1)
        .snapshot_every(u64::MAX)
        .build()
        .unwrap();
    let window = "{ quality_below = { threshold = 0.5, window = 20_000 } }";
    let text = |windows: usize| {
        let windows = vec![window; windows].join(", ");
        format!("trip_on = {{ any_of = [{{ consecutive_failures = 3 }}, {{ all_of = [{windows}] }}] }}")
    };
    // As many as there is room for.
    let breaker = (1..20).rev().find_map(|windows| {
        let policy = registry.policy("wide", &text(windows)).unwrap();
        registry.breaker("llm", &policy).ok()
    });
    let breaker = breaker.unwrap();
    assert!(breaker.policy().info().breaker_bytes > 800_000, "{:?}", breaker.policy());
    let events = registry.subscribe();
    for _ in 0..WINDOW + 1_000 {
        let mut permit = breaker.permit().unwrap();
        permit.report_quality(0.9).unwrap();
        assert_eq!(permit.success().effect, Effect::Recorded);
    }
    for _ in 0..3 {
        fail(&breaker);
    }
    assert!(matches!(events.try_next(), Some(Event::StateChanged { change, .. }) if change.new == State::Open));
    assert_eq!((breaker.state(), breaker.permit().unwrap_err().trip_count), (State::Open, 1));
    assert_eq!((events.try_next(), failures(&registry)), (None, String::new()));
    // And there is room for it to come back beside that.
    let snapshot = breaker.snapshot().unwrap();
    registry.remove("llm");
    let policy = breaker.policy().clone();
    drop(breaker);
    let back = registry.restore("back", &policy, Conditions::new(), &snapshot, Duration::ZERO).unwrap();
    assert!(back.is_open());
    assert_eq!((back.status().unwrap().conditions[1].filled, failures(&registry)), (WINDOW, String::new()));
}

/// That the circuit is open was told; it stays open even where the component fails at saving it.
#[test]
fn an_opening_that_could_not_be_saved_is_not_forgotten() {
    let clock = clock();
    let registry = builder(&clock)
        .component_bytes("hostile", hostile_breaker_with("", ""))
        .component_instances(1)
        .snapshot_every(1)
        .snapshot_interval(Duration::ZERO)
        .build()
        .unwrap();
    let policy = registry.policy("any", "").unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    assert_eq!(settle(&breaker, 1), Effect::Recorded);
    let events = registry.subscribe();
    let settled =
        breaker.permit().unwrap().settle(Outcome::success().with_latency(Duration::from_nanos(OPEN_UNSAVABLY)));
    let change = settled.change.unwrap();
    assert_eq!(
        (settled.effect, change.new, change.reason.to_string().as_str()),
        (Effect::Recorded, State::Open, "so say I")
    );
    assert!(matches!(events.try_next(), Some(Event::StateChanged { .. })));
    assert!(matches!(events.try_next(), Some(Event::ComponentFailed { .. })));
    // It comes back from the snapshot before, which says that it is closed.
    assert!(breaker.permit().is_err());
    let (name, state) = (Arc::clone(breaker.name()), State::Open);
    let restored = Event::BreakerRestored { breaker: name, state, records_lost: 1, from_snapshot: true };
    assert_eq!((events.try_next(), events.try_next()), (Some(restored), None));
    // Saved at last, it needs no reminder; reset, it isn't reminded.
    breaker.reset().unwrap();
    assert_eq!(settle(&breaker, TRAP), Effect::Lost);
    assert!(breaker.permit().is_ok());
}

/// What makes the component fail is not tried again: everybody who sits there would fall with it, every time.
#[test]
fn a_snapshot_at_which_the_component_fails_is_given_up() {
    let registry = hostile("", OPEN_TRAPS);
    let policy = registry.policy("any", "").unwrap();
    let [good, bad] = ["good", "bad"].map(|name| registry.breaker(name, &policy).unwrap());
    assert_eq!((settle(&good, 1), settle(&bad, 1)), (Effect::Recorded, Effect::Recorded));
    bad.trip("so", None).unwrap();
    let events = registry.subscribe();
    // Its first instance falls by another's call, so that both must come back.
    let other = registry.breaker("other", &policy).unwrap();
    other.reset().unwrap();
    assert_eq!(settle(&other, TRAP), Effect::Lost);
    // Unguarded, since the component fails at the snapshot.
    assert!(!bad.permit().unwrap().is_guarded());
    for _ in 0..3 {
        assert_eq!((settle(&good, 1), settle(&bad, 1)), (Effect::Recorded, Effect::Recorded));
    }
    let seen: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            Event::BreakerRestored { breaker, from_snapshot, .. } => Some((breaker.to_string(), from_snapshot)),
            _ => None,
        })
        .collect();
    assert_eq!(seen, [("good".to_owned(), true), ("bad".to_owned(), false)]);
    assert_eq!(failures(&registry), "softfuse_component_failures_total{reason=\"trapped\"} 2");
}

/// Bytes from elsewhere are tried apart: if the component fails at them, it hurts nobody.
#[test]
fn a_foreign_snapshot_harms_no_breaker() {
    let registry = hostile("", OPEN_TRAPS);
    let policy = registry.policy("any", "").unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    assert_eq!(settle(&breaker, 1), Effect::Recorded);
    let events = registry.subscribe();
    let restore = |bytes: &[u8]| registry.restore("foreign", &policy, Conditions::new(), bytes, Duration::ZERO);
    match restore(&[1]) {
        Err(error @ RegistryError::NotRestored { reason: RestoreError::Failed(ComponentFailure::Trapped(_)), .. }) => {
            assert!(error.to_string().contains("`Breaker::snapshot`"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let long = vec![0; 4 << 20];
    match restore(&long) {
        Err(error @ RegistryError::NotRestored { reason: RestoreError::TooLong { bytes: 4_194_304, max }, .. }) => {
            assert!(error.to_string().contains(&max.to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((settle(&breaker, 1), events.try_next()), (Effect::Recorded, None));
    assert_eq!((failures(&registry), registry.list().len()), (String::new(), 1));
    // The name is free still.
    assert!(restore(&[0]).is_err(), "the hostile one tells no status");
    assert!(registry.breaker("foreign", &policy).is_ok());
}

/// There must be room for it before it is tried, and what was refused leaves none of it taken.
#[test]
fn a_snapshot_for_which_there_is_no_room_is_refused() {
    let small = builder(&clock()).component_memory_bytes_max(4 << 20).component_instances(1).build().unwrap();
    let text = "trip_on = { quality_below = { threshold = 0.5, window = 100_000 } }";
    let policy = small.policy("large", text).unwrap();
    for _ in 0..10 {
        let refused = small.restore("llm", &policy, Conditions::new(), b"nothing", Duration::ZERO);
        assert!(
            matches!(refused, Err(RegistryError::NotRestored { reason: RestoreError::NotASnapshot, .. })),
            "{refused:?}"
        );
    }
    let snapshot = small.breaker("first", &policy).unwrap().snapshot().unwrap();
    let restore = |name: &str| small.restore(name, &policy, Conditions::new(), &snapshot, Duration::ZERO);
    let refused = (0..10).find_map(|n| restore(&n.to_string()).err()).unwrap();
    assert!(matches!(refused, RegistryError::NoRoom { .. }), "{refused:?}");
}

/// Of a reason, a verdict and a name as much crosses as is kept: the rest would only fill the component's memory.
#[test]
fn long_texts_are_cut_before_they_cross() {
    struct Verbose(String);

    impl Condition for Verbose {
        fn record(&mut self, call: &CallRecord) -> Option<String> {
            call.kind.is_failure().then(|| self.0.clone())
        }

        fn reset(&mut self) {}
    }

    let long = "ä".repeat(4 << 20);
    let registry = builder(&clock()).component_memory_bytes_max(4 << 20).component_instances(1).build().unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    let breaker = registry.breaker(&long, &policy).unwrap();
    breaker.trip(&long, None).unwrap();
    let cut = breaker.permit().unwrap_err().reason.clone().unwrap();
    assert!(cut.len() <= 1024 && cut.ends_with("ä..."), "{}", cut.len());
    let policy = registry.policy("own", HOSTS_OWN).unwrap();
    let mine: Box<dyn Condition> = Box::new(Verbose(long.clone()));
    let breaker = registry.breaker_with("own", &policy, Conditions::from([("mine".to_owned(), mine)])).unwrap();
    fail(&breaker);
    let reason = breaker.permit().unwrap_err().reason.clone().unwrap();
    assert!(reason.len() < 1200 && reason.contains("ä..."), "{}", reason.len());
    assert_eq!(failures(&registry), "");
}

/// The instance that has failed is given up before anybody is told.
#[test]
fn a_log_that_panics_keeps_no_dead_instance() {
    let registry = hostile("", OPEN_TRAPS);
    let policy = registry.policy("any", "").unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    breaker.trip("so", None).unwrap();
    breaker.reset().unwrap();
    tracing::subscriber::with_default(PanickingLog(""), || {
        assert_eq!(settle(&breaker, TRAP), Effect::Lost);
        assert_eq!(settle(&breaker, 1), Effect::Recorded);
        breaker.trip("so", None).unwrap();
        let other = registry.breaker("other", &policy).unwrap();
        other.reset().unwrap();
        assert_eq!(settle(&other, TRAP), Effect::Lost);
        // Its snapshot is given up, which is logged too.
        assert_eq!((settle(&breaker, 1), settle(&breaker, 1)), (Effect::Lost, Effect::Recorded));
    });
}
