//! Registries: names, policies and their errors, a host's own conditions, snapshots, events, metrics.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{HOSTS_OWN, POOR_QUALITY, TWO_FAILURES, breaker, builder, clock, fail};
use softfuse::{
    CallRecord, Condition, Conditions, Effect, Event, FailureKind, OperatorState, Outcome, OutcomeKind, PolicyError,
    RegistryError, RestoreError, State,
};

#[test]
fn two_users_of_one_name_share_one_breaker() {
    let (registry, _, breaker) = breaker(TWO_FAILURES);
    fail(&breaker);
    // The same meaning in other words.
    let same = registry
        .policy("other.toml", "# two\nhalf_open_after = \"10000ms\"\n[trip_on]\nconsecutive_failures = 2")
        .unwrap();
    let again = registry.breaker("llm", &same).unwrap();
    fail(&again);
    assert_eq!((breaker.state(), registry.list().len()), (State::Open, 1));
    assert_eq!(registry.get("llm").unwrap().state(), State::Open);

    let differs = registry.policy("differs.toml", "trip_on = { consecutive_failures = 3 }").unwrap();
    let refused = registry.breaker("llm", &differs).unwrap_err();
    let expected =
        RegistryError::PolicyDiffers { name: "llm".into(), existing: "test".into(), requested: "differs.toml".into() };
    assert_eq!(refused, expected);
    assert_eq!(
        refused.to_string(),
        "two policies for the breaker `llm`: it was made with test, and now differs.toml is asked for"
    );

    registry.reset_all().unwrap();
    assert_eq!(breaker.state(), State::Closed);
    assert!(registry.remove("llm") && !registry.remove("llm"));
    assert!(registry.get("llm").is_none());
    // Who holds it goes on using it.
    fail(&breaker);
    assert_eq!(breaker.status().unwrap().consecutive_failures, 1);
}

#[test]
fn every_problem_of_a_policy_is_told_with_its_place() {
    let (registry, ..) = breaker(TWO_FAILURES);
    let text = "half_open_aftr = \"10s\"\n[trip_on]\nconsecutive_failures = 0\n";
    match registry.policy("bad.toml", text) {
        Err(error @ PolicyError::Invalid { .. }) => {
            let message = error.to_string();
            let lines: Vec<&str> = message.lines().collect();
            assert_eq!(lines.len(), 2, "{message}");
            assert!(lines[0].starts_with("bad.toml:1:1: half_open_aftr: ") && lines[0].contains("half_open_after"));
            assert!(lines[1].starts_with("bad.toml:3:"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(registry.policy_file("/no/such.toml"), Err(PolicyError::Unreadable { .. })));
    let long = " ".repeat(softfuse::POLICY_BYTES_MAX + 1);
    assert!(matches!(registry.policy("long", &long), Err(PolicyError::TooLong { .. })));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin.toml");
    std::fs::write(&path, b"# \xe4").unwrap();
    assert!(
        matches!(registry.policy_file(&path), Err(PolicyError::Unreadable { message, .. }) if message.contains("byte 2"))
    );
    std::fs::write(&path, TWO_FAILURES).unwrap();
    assert_eq!(registry.policy_file(&path).unwrap().source_name().as_ref(), path.to_str().unwrap());
}

/// Holds after so many failures, and notes what it is shown.
struct Failures {
    left: u32,
    of: u32,
    shown: Arc<Mutex<Vec<String>>>,
}

impl Condition for Failures {
    fn record(&mut self, call: &CallRecord) -> Option<String> {
        self.shown.lock().unwrap().push(call.kind.to_string());
        assert!(call.kind != OutcomeKind::Overloaded, "a bug");
        self.left = if call.kind.is_failure() { self.left.saturating_sub(1) } else { self.of };
        (self.left == 0).then(|| format!("{} failures, says the host", self.of))
    }

    fn reset(&mut self) {
        self.shown.lock().unwrap().push("reset".to_owned());
        self.left = self.of;
    }
}

fn failures(of: u32) -> (Conditions, Arc<Mutex<Vec<String>>>) {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let condition = Failures { left: of, of, shown: Arc::clone(&shown) };
    (Conditions::from([("mine".to_owned(), Box::new(condition) as Box<dyn Condition>)]), shown)
}

#[test]
fn a_hosts_own_condition_trips_with_its_reason() {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("own", HOSTS_OWN).unwrap();
    let (conditions, shown) = failures(2);
    let breaker = registry.breaker_with("llm", &policy, conditions).unwrap();
    let early = breaker.permit().unwrap();
    fail(&breaker);
    let _ = breaker.permit().unwrap().settle(Outcome::cancelled());
    fail(&breaker);
    let reason = breaker.would_refuse().unwrap().reason.clone().unwrap();
    assert!(reason.contains("2 failures, says the host"), "{reason}");
    // What is neutral or stale it isn't shown.
    assert_eq!(early.failure(FailureKind::Timeout).effect, Effect::Stale);
    assert_eq!(std::mem::take(&mut *shown.lock().unwrap()), ["error", "error"]);
    // It is reset for half-open, before a probe, which is judged alone, and for closed.
    clock.advance(Duration::from_secs(10));
    assert_eq!(breaker.permit().unwrap().success().effect, Effect::Probed);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(std::mem::take(&mut *shown.lock().unwrap()), ["reset", "reset", "success", "reset"]);
}

#[test]
fn a_condition_that_panics_counts_as_not_holding() {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("own", HOSTS_OWN).unwrap();
    let breaker = registry.breaker_with("llm", &policy, failures(1).0).unwrap();
    let events = registry.subscribe();
    assert_eq!(breaker.permit().unwrap().failure(FailureKind::Overloaded).effect, Effect::Recorded);
    assert_eq!(breaker.state(), State::Closed);
    let expected = Event::ConditionPanicked { breaker: "llm".into(), condition: "mine".into() };
    assert_eq!(events.try_next(), Some(expected));
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn conditions_must_be_those_that_the_policy_names() {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let own = registry.policy("own", HOSTS_OWN).unwrap();
    let plain = registry.policy("plain", TWO_FAILURES).unwrap();
    assert!(
        matches!(registry.breaker("a", &own), Err(RegistryError::ConditionMissing { condition, .. }) if condition == "mine")
    );
    let unknown = registry.breaker_with("b", &plain, failures(1).0);
    assert!(matches!(unknown, Err(RegistryError::ConditionUnknown { condition, .. }) if condition == "mine"));
}

#[test]
fn a_breaker_that_is_forgotten_takes_its_series_along() {
    let (registry, _, breaker) = breaker(TWO_FAILURES);
    fail(&breaker);
    assert!(registry.metrics_text().contains("breaker=\"llm\""));
    registry.remove("llm");
    fail(&breaker);
    assert!(!registry.metrics_text().contains("breaker=\"llm\""));
    let again = registry.breaker("llm", breaker.policy()).unwrap();
    fail(&again);
    assert!(registry.metrics_text().contains("softfuse_call_total{breaker=\"llm\",outcome=\"failure\"} 1"));
}

#[tokio::test]
async fn events_can_be_awaited() {
    let (registry, _, breaker) = breaker(TWO_FAILURES);
    let events = registry.subscribe();
    let waiting = tokio::spawn(async move { (events.next_async().await, events.next_async().await) });
    tokio::task::yield_now().await;
    breaker.set_operator_state(OperatorState::Disabled).unwrap();
    drop((breaker, registry));
    let (first, second) = waiting.await.unwrap();
    assert!(matches!(first, Some(Event::StateChanged { change, .. }) if change.new == State::Disabled));
    assert_eq!(second, None);
}

/// A breaker component runs on its callers' threads, and those of some systems are small: 128 KiB where musl makes them.
#[test]
fn a_small_stack_is_enough() {
    let (registry, clock, _) = breaker(TWO_FAILURES);
    let deep = |brackets: usize| format!("trip_on = {}{}", "[".repeat(brackets), "]".repeat(brackets));
    let nested = |depth: usize| {
        let (open, close) = ("{ any_of = [".repeat(depth), "] }".repeat(depth));
        format!("trip_on = {open}{{ consecutive_failures = 1 }}{close}")
    };
    let small = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
        for brackets in [10, 100, 1_000, 100_000] {
            let refused = registry.policy("deep", &deep(brackets)).unwrap_err();
            assert!(matches!(refused, PolicyError::Invalid { .. }), "{brackets}: {refused}");
        }
        let deepest = (1..=200).rev().find_map(|depth| registry.policy("nested", &nested(depth)).ok()).unwrap();
        let breaker = registry.breaker("deepest", &deepest).unwrap();
        fail(&breaker);
        assert_eq!(breaker.state(), State::Open);
        let (snapshot, status) = (breaker.snapshot().unwrap(), breaker.status().unwrap());
        assert_eq!(status.conditions.len(), 1);
        let restored = registry.restore("again", &deepest, Conditions::new(), &snapshot, Duration::ZERO).unwrap();
        clock.advance(Duration::from_secs(60));
        restored.permit().unwrap().success();
    });
    small.unwrap().join().unwrap();
}

#[test]
fn a_snapshot_is_restored_in_another_registry() {
    let (_, clock, breaker) = breaker(TWO_FAILURES);
    fail(&breaker);
    fail(&breaker);
    clock.advance(Duration::from_secs(3));
    let snapshot = breaker.snapshot().unwrap();

    let other = builder(&common::clock()).build().unwrap();
    let policy = other.policy("test", TWO_FAILURES).unwrap();
    let restore =
        |name: &str, snapshot: &[u8]| other.restore(name, &policy, Conditions::new(), snapshot, Duration::from_secs(2));
    let restored = restore("llm", &snapshot).unwrap();
    assert_eq!(restored.state(), State::Open);
    assert_eq!(restored.would_refuse().unwrap().retry_after(), Some(Duration::from_secs(5)));
    assert!(other.metrics_text().contains("softfuse_state{breaker=\"llm\"} 1"));
    assert!(matches!(restore("llm", &snapshot), Err(RegistryError::NameTaken(_))));

    let refused = |snapshot: &[u8]| match restore("other", snapshot) {
        Err(RegistryError::NotRestored { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(b"nothing"), RestoreError::NotASnapshot);
    let mut damaged = snapshot.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(refused(&damaged), RestoreError::Corrupt(_)));
    let policy = other.policy("test", POOR_QUALITY).unwrap();
    let differs = other.restore("other", &policy, Conditions::new(), &snapshot, Duration::ZERO);
    assert!(matches!(differs, Err(RegistryError::NotRestored { reason: RestoreError::PolicyDiffers(_), .. })));
    // Nothing was made.
    assert!(other.get("other").is_none());
}

#[test]
fn events_keep_their_order_and_callbacks_may_do_as_they_like() {
    let (registry, clock, breaker) = breaker(TWO_FAILURES);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (noted, used) = (Arc::clone(&seen), registry.clone());
    registry.on_event(|_| panic!("a bug"));
    registry.on_event(move |event| {
        // The breaker's lock is free.
        let state = used.get("llm").unwrap().status().unwrap().state;
        let Event::StateChanged { change, .. } = event else { panic!("{event:?}") };
        noted.lock().unwrap().push((change.old, change.new, state));
        if change.new == State::Open {
            used.get("llm").unwrap().reset().unwrap();
        }
    });
    let subscription = registry.subscribe();
    fail(&breaker);
    fail(&breaker);
    clock.advance(Duration::from_secs(1));
    let expected = [(State::Closed, State::Open, State::Open), (State::Open, State::Closed, State::Closed)];
    assert_eq!(*seen.lock().unwrap(), expected);
    let streamed: Vec<_> = std::iter::from_fn(|| subscription.try_next()).collect();
    assert_eq!((streamed.len(), subscription.dropped()), (2, 0));
}

#[test]
fn a_slow_subscriber_loses_events_and_knows_how_many() {
    let clock = clock();
    let registry = builder(&clock).event_capacity(3).build().unwrap();
    let breaker = registry.breaker("llm", &registry.policy("test", TWO_FAILURES).unwrap()).unwrap();
    let slow = registry.subscribe();
    for _ in 0..5 {
        breaker.set_operator_state(OperatorState::Disabled).unwrap();
        breaker.reset().unwrap();
    }
    assert_eq!((std::iter::from_fn(|| slow.try_next()).count(), slow.dropped()), (3, 7));
    drop((registry, breaker));
    assert_eq!(slow.count(), 0);
}

#[test]
fn events_of_many_threads_are_all_delivered_one_at_a_time() {
    let (registry, _, breaker) = breaker(TWO_FAILURES);
    let (inside, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(HashSet::new())));
    let noted = Arc::clone(&seen);
    registry.on_event(move |event| {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
        let Event::StateChanged { change, .. } = event else { panic!("{event:?}") };
        noted.lock().unwrap().insert(change.generation);
        inside.fetch_sub(1, Ordering::SeqCst);
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| drop(breaker.reset().unwrap())));
        }
    });
    // A thread's events may be handed out by another, after it has gone on.
    let started = std::time::Instant::now();
    while seen.lock().unwrap().len() < 200 {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", seen.lock().unwrap().len());
        std::thread::yield_now();
    }
}

#[test]
fn metrics_say_what_happened() {
    let (registry, clock, breaker) = breaker(TWO_FAILURES);
    let mut permit = breaker.permit().unwrap();
    permit.report_quality(0.82).unwrap();
    clock.advance(Duration::from_millis(30));
    let late = permit.success().late;
    late.report_quality(0.05).unwrap();
    drop(breaker.permit().unwrap());
    fail(&breaker);
    fail(&breaker);
    assert!(breaker.permit().is_err());
    let text = registry.metrics_text();
    for line in [
        "# TYPE softfuse_state gauge",
        "softfuse_state{breaker=\"llm\"} 1",
        "softfuse_trip_total{breaker=\"llm\"} 1",
        "softfuse_call_total{breaker=\"llm\",outcome=\"success\"} 1",
        "softfuse_call_total{breaker=\"llm\",outcome=\"failure\"} 2",
        "softfuse_call_total{breaker=\"llm\",outcome=\"neutral\"} 1",
        "softfuse_call_total{breaker=\"llm\",outcome=\"rejected\"} 1",
        "softfuse_quality_score_bucket{le=\"0.1\",breaker=\"llm\"} 1",
        "softfuse_quality_score_count{breaker=\"llm\"} 2",
        "softfuse_latency_seconds_bucket{le=\"0.025\",breaker=\"llm\"} 3",
        "softfuse_latency_seconds_bucket{le=\"0.05\",breaker=\"llm\"} 4",
        "softfuse_component_restarts_total 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
