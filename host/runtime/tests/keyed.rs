//! Keyed families: retiring and coming back, their bounds, and users' code that they run.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{HOSTS_OWN, TWO_FAILURES, builder, clock, fail};
use softfuse::{
    Breaker, CallRecord, Condition, Conditions, Effect, Keyed, KeyedSettings, Outcome, Registry, RegistryError, State,
    Time,
};

fn family(live_max: usize, retired_max: usize) -> (Registry, Keyed) {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("tenant", TWO_FAILURES).unwrap();
    let settings = KeyedSettings { live_max, retired_max, ..KeyedSettings::default() };
    let family = registry.keyed("tenant", &policy, settings).unwrap();
    (registry, family)
}

#[test]
fn closed_breakers_retire_and_come_back_as_they_were() {
    let (registry, family) = family(2, 10);
    fail(&family.get("a").unwrap());
    let before = family.get("a").unwrap().status().unwrap();
    for key in ["b", "c"] {
        fail(&family.get(key).unwrap());
    }
    assert_eq!((family.live(), family.retired()), (2, 1));
    let a = family.get("a").unwrap();
    assert_eq!(a.status().unwrap(), before);
    fail(&a);
    assert_eq!(a.state(), State::Open);
    assert_eq!((family.live(), family.retired()), (2, 1));
    let again = registry.keyed("tenant", a.policy(), KeyedSettings::default()).unwrap();
    assert_eq!(again.live(), 2);
    let metrics = registry.metrics_text();
    for line in [
        "softfuse_keyed_breakers{breaker=\"tenant\",state=\"open\"} 1",
        // The other one, and the overflow breaker.
        "softfuse_keyed_breakers{breaker=\"tenant\",state=\"closed\"} 2",
        "softfuse_call_total{breaker=\"tenant\",outcome=\"failure\"} 4",
        "softfuse_trip_total{breaker=\"tenant\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn open_breakers_never_retire_and_overflow_is_shared() {
    let (_, family) = family(2, 10);
    for key in ["a", "b"] {
        fail(&family.get(key).unwrap());
        fail(&family.get(key).unwrap());
    }
    let (c, d) = (family.get("c").unwrap(), family.get("d").unwrap());
    assert_eq!((c.name(), d.name(), family.retired()), (family.overflow().name(), family.overflow().name(), 0));
    assert!(family.get("a").unwrap().is_open() && !c.is_open());
    fail(&c);
    fail(&d);
    assert!(family.overflow().is_open());
    // One of the two closes, and may retire then.
    family.get("a").unwrap().reset().unwrap();
    assert_eq!(&**family.get("e").unwrap().name(), "tenant/e");
    assert_eq!((family.live(), family.retired()), (2, 1));
}

#[test]
fn a_breaker_that_somebody_holds_never_retires() {
    let (_, family) = family(1, 10);
    let held = family.get("a").unwrap();
    assert_eq!(family.get("b").unwrap().name(), family.overflow().name());
    drop(held);
    assert_eq!(&**family.get("b").unwrap().name(), "tenant/b");
}

#[test]
fn what_is_remembered_of_retired_ones_is_bounded() {
    let (_, family) = family(1, 2);
    for key in ["a", "b", "c", "d", "e"] {
        fail(&family.get(key).unwrap());
    }
    assert_eq!((family.live(), family.retired()), (1, 2));
    // The first is forgotten, and starts afresh.
    fail(&family.get("a").unwrap());
    assert_eq!(family.get("a").unwrap().state(), State::Closed);
    // The last two are not.
    fail(&family.get("d").unwrap());
    assert_eq!(family.get("d").unwrap().state(), State::Open);
}

#[test]
fn the_bytes_of_retired_ones_are_bounded_too() {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("tenant", TWO_FAILURES).unwrap();
    let one = {
        let breaker = registry.breaker("one", &policy).unwrap();
        fail(&breaker);
        breaker.snapshot().unwrap().len()
    };
    // Room for two, each with a key of one byte, as snapshots of equal states are about equally long.
    let settings =
        KeyedSettings { live_max: 1, retired_bytes_max: 2 * (one + 1) + one / 2, ..KeyedSettings::default() };
    let family = registry.keyed("tenant", &policy, settings).unwrap();
    for key in ["a", "b", "c", "d", "e"] {
        fail(&family.get(key).unwrap());
    }
    assert_eq!((family.live(), family.retired()), (1, 2));
}

/// Settles so many calls with a score each.
fn score(breaker: &Breaker, calls: u32) {
    for _ in 0..calls {
        let mut permit = breaker.permit().unwrap();
        permit.report_quality(0.9).unwrap();
        assert_eq!(permit.success().effect, Effect::Recorded);
    }
}

fn settings(live_max: usize) -> KeyedSettings {
    KeyedSettings { live_max, ..KeyedSettings::default() }
}

/// No instance of the component has failed.
fn assert_sound(registry: &Registry) {
    let metrics = registry.metrics_text();
    assert!(metrics.contains("softfuse_component_restarts_total 0"), "{metrics}");
    assert!(!metrics.contains("softfuse_component_failures_total{"), "{metrics}");
}

/// What would run out of memory one day is refused at once, with the numbers; what is not refused has room for all of its
/// samples, for every snapshot on the way, and for the trips.
#[test]
fn breakers_for_which_there_is_no_room_are_refused() {
    const WINDOW: u32 = 20_000;
    let clock = clock();
    // Snapshots after every 256 records, as by default.
    let registry = builder(&clock).component_memory_bytes_max(4 << 20).component_instances(2).build().unwrap();
    let large = "trip_on = { any_of = [{ quality_below = { threshold = 0.7, window = 20_000 } }, { consecutive_failures = 2 }] }";
    let policy = registry.policy("large", large).unwrap();
    let each = policy.info().breaker_bytes;
    assert!((160_000..165_000).contains(&each), "{each}");
    let fits = match registry.keyed("tenant", &policy, settings(100)) {
        Err(error @ RegistryError::NoRoom { breakers: 101, bytes, instances: 2, fit, .. }) => {
            assert!((each..each + 1_000).contains(&bytes), "{bytes}");
            let text = error.to_string();
            assert!(text.contains(&bytes.to_string()) && text.contains("component_memory_bytes_max"), "{text}");
            usize::try_from(fit).unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert!((20..30).contains(&fits), "{fits}");
    // Its overflow breaker is one of them.
    assert!(matches!(registry.keyed("tenant", &policy, settings(fits)), Err(RegistryError::NoRoom { .. })));
    let family = registry.keyed("tenant", &policy, settings(fits - 1)).unwrap();
    score(family.overflow(), WINDOW);
    for key in 0..fits - 1 {
        score(&family.get(&key.to_string()).unwrap(), WINDOW);
    }
    for (_, breaker) in family.list() {
        assert_eq!(breaker.status().unwrap().conditions[0].filled, WINDOW);
        fail(&breaker);
        fail(&breaker);
        assert_eq!(breaker.state(), State::Open);
    }
    assert_eq!(family.live(), fits - 1);
    // Retired and back, in the room of the one that leaves.
    family.get("0").unwrap().reset().unwrap();
    assert_eq!(&**family.get("more").unwrap().name(), "tenant/more");
    assert_sound(&registry);
    // The named ones have as much again, and a family takes nothing of it.
    for number in 0..fits {
        registry.breaker(&number.to_string(), &policy).unwrap();
    }
    match registry.breaker("more", &policy) {
        Err(RegistryError::NoRoom { breakers, .. }) => assert_eq!(breakers, fits + 1),
        other => panic!("{other:?}"),
    }
    // Whose place is free again when nobody holds it.
    registry.remove("0");
    registry.breaker("more", &policy).unwrap();
}

/// A breaker sits in one instance, whole: what is left over in several is room for none.
#[test]
fn what_is_left_in_several_instances_is_not_added_up() {
    let registry = builder(&clock()).component_memory_bytes_max(16 << 20).component_instances(2).build().unwrap();
    let condition = "{ quality_below = { threshold = 0.7, window = 100_000 } }";
    let policy = registry.policy("vast", &format!("trip_on = {{ all_of = [{}] }}", [condition; 7].join(", "))).unwrap();
    assert!((5_600_000..5_700_000).contains(&policy.info().breaker_bytes));
    // Two and a half in each, less what an instance needs beside them: four and the overflow breaker don't fit.
    match registry.keyed("tenant", &policy, settings(4)) {
        Err(RegistryError::NoRoom { breakers: 5, fit: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    registry.keyed("tenant", &policy, settings(1)).unwrap();
    // Placed where there is room, not blindly in turn.
    let small =
        registry.policy("small", "trip_on = { quality_below = { threshold = 0.7, window = 100_000 } }").unwrap();
    let first = registry.breaker("first", &small).unwrap();
    registry.breaker("second", &policy).unwrap();
    drop(first);
    registry.remove("first");
    registry.breaker("third", &small).unwrap();
    // In turn, it would come beside the second.
    registry.breaker("fourth", &policy).unwrap();
    registry.breaker("fifth", &policy).unwrap_err();
}

/// What a circuit has to say of its past may take more than is kept free for a snapshot: others make room for it, as where all places are
/// taken.
#[test]
fn idle_keys_make_room_for_one_whose_snapshot_is_long() {
    let clock = clock();
    let registry = builder(&clock).component_memory_bytes_max(3 << 20).component_instances(1).build().unwrap();
    let policy = registry.policy("tiny", TWO_FAILURES).unwrap();
    let fits = match registry.keyed("tenant", &policy, settings(1_000_000)) {
        Err(RegistryError::NoRoom { fit, .. }) => usize::try_from(fit).unwrap(),
        other => panic!("{other:?}"),
    };
    // The overflow breaker is one of them.
    let live_max = fits - 1;
    let family = registry.keyed("tenant", &policy, settings(live_max)).unwrap();
    let troubled = family.get("troubled").unwrap();
    for trip in 0..20 {
        assert!(troubled.trip(&"why? ".repeat(200), None).unwrap().is_some(), "{trip}");
        troubled.reset().unwrap();
    }
    let before = troubled.status().unwrap();
    let snapshot_bytes = troubled.snapshot().unwrap().len();
    assert!(snapshot_bytes > 5000 && policy.info().breaker_bytes < 500, "{snapshot_bytes}");
    drop(troubled);
    let mut keys = 0;
    while family.live() < live_max || family.list().iter().any(|(key, _)| &**key == "troubled") {
        clock.advance(Duration::from_millis(1));
        family.get(&keys.to_string()).unwrap().permit().unwrap().success();
        keys += 1;
    }
    let retired = family.retired();

    let troubled = family.get("troubled").unwrap();
    assert_eq!(troubled.name().as_ref(), "tenant/troubled");
    assert_eq!(troubled.status().unwrap().transitions, before.transitions);
    // As many went as were in its way, and not all.
    let left = live_max - family.live();
    assert!((1..64).contains(&left), "{left} of {live_max}");
    // Beside those, the one in whose place it came, and it is no longer retired itself.
    assert_eq!(family.retired(), retired + left);
    assert_sound(&registry);
    // What went comes back.
    for key in 0..keys {
        assert_ne!(family.get(&key.to_string()).unwrap().name(), family.overflow().name());
        assert!(family.live() <= live_max);
    }
}

/// Many tiny breakers cost more than their windows: the table of them, the allocator, what trips leave.
#[test]
fn tiny_breakers_are_counted_with_all_that_they_cost() {
    let text =
        "trip_on = { any_of = [{ quality_below = { threshold = 0.7, window = 20 } }, { consecutive_failures = 2 }] }";
    let registry = builder(&clock()).component_memory_bytes_max(512 << 20).component_instances(2).build().unwrap();
    let policy = registry.policy("tiny", "trip_on = { quality_below = { threshold = 0.7, window = 20 } }").unwrap();
    registry.keyed("million", &policy, settings(1_000_000)).unwrap();
    let small = builder(&clock()).component_memory_bytes_max(4 << 20).component_instances(2).build().unwrap();
    let policy = small.policy("tiny", text).unwrap();
    let fits = match small.keyed("tenant", &policy, settings(1_000_000)) {
        Err(RegistryError::NoRoom { fit, .. }) => usize::try_from(fit).unwrap(),
        other => panic!("{other:?}"),
    };
    println!("{fits} breakers of {} bytes", policy.info().breaker_bytes);
    let family = small.keyed("tenant", &policy, settings(fits - 1)).unwrap();
    for key in 0..fits - 1 {
        score(&family.get(&key.to_string()).unwrap(), 20);
    }
    for (_, breaker) in family.list() {
        fail(&breaker);
        fail(&breaker);
        assert_eq!(breaker.state(), State::Open);
    }
    assert_eq!(family.live(), fits - 1);
    assert_sound(&small);
}

/// Users' code runs without the locks: it may use the registry and the family.
#[test]
fn conditions_are_made_and_dropped_without_a_lock() {
    struct Asks(Registry);

    impl Condition for Asks {
        fn record(&mut self, _: &CallRecord) -> Option<String> {
            None
        }

        fn reset(&mut self) {}
    }

    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(self.0.list().len() < 10);
            for family in self.0.list_keyed() {
                assert!(family.live() < 10);
            }
        }
    }

    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let clock = clock();
        let registry = builder(&clock).build().unwrap();
        let policy = registry.policy("own", HOSTS_OWN).unwrap();
        let named = |registry: &Registry| {
            let asks: Box<dyn Condition> = Box::new(Asks(registry.clone()));
            Conditions::from([("mine".to_owned(), asks)])
        };
        let used = registry.clone();
        let conditions: Arc<dyn Fn(&str) -> Conditions + Send + Sync> = Arc::new(move |_| {
            assert!(used.list_keyed().iter().all(|family| family.live() < 10));
            named(&used)
        });
        let settings =
            KeyedSettings { live_max: 1, retired_max: 1, conditions: Some(conditions), ..Default::default() };
        let family = registry.keyed("tenant", &policy, settings).unwrap();
        for key in ["a", "b", "c", "d", "a", "d"] {
            fail(&family.get(key).unwrap());
        }
        assert_eq!((family.live(), family.retired()), (1, 1));
        // One that isn't wanted, one that is refused, one that goes with its breaker.
        registry.breaker_with("llm", &policy, named(&registry)).unwrap();
        registry.breaker_with("llm", &policy, named(&registry)).unwrap();
        assert!(registry.breaker_with("tenant", &policy, named(&registry)).is_err());
        let plain = registry.policy("plain", TWO_FAILURES).unwrap();
        assert!(registry.breaker_with("plain", &plain, named(&registry)).is_err());
        assert!(registry.remove("llm") && registry.remove("tenant"));
        drop(family);
        done.send(()).unwrap();
    });
    finished.recv_timeout(Duration::from_secs(60)).expect("no deadlock, and no panic");
}

#[test]
fn names_of_breakers_and_families_are_one_space() {
    let (registry, family) = family(1, 1);
    let policy = family.overflow().policy().clone();
    registry.breaker("llm", &policy).unwrap();
    assert!(matches!(registry.breaker("tenant", &policy), Err(RegistryError::NameTaken(name)) if &*name == "tenant"));
    assert!(matches!(registry.keyed("llm", &policy, KeyedSettings::default()), Err(RegistryError::NameTaken(_))));
    assert_eq!((registry.list().len(), registry.list_keyed().len()), (1, 1));
}

#[test]
fn keys_are_bounded() {
    let (_, family) = family(1, 1);
    assert!(family.get(&"k".repeat(1024)).is_ok());
    let refused = family.get(&"k".repeat(1025)).unwrap_err();
    assert_eq!(refused, RegistryError::KeyTooLong { family: "tenant".into(), bytes: 1025, max: 1024 });
    assert!(refused.to_string().contains("1025 bytes") && refused.to_string().contains("1024"), "{refused}");
}

/// So many keys that they lie in several shards: the bound is exact, and what retires elsewhere comes back as it was.
#[test]
fn many_keys_are_bounded_exactly() {
    const LIVE: usize = 3_000;
    let (registry, family) = family(LIVE, LIVE);
    for key in 0..2 * LIVE {
        let breaker = family.get(&key.to_string()).unwrap();
        assert_eq!(&**breaker.name(), format!("tenant/{key}"));
        fail(&breaker);
    }
    assert_eq!((family.live(), family.retired(), family.list().len()), (LIVE, LIVE, LIVE));
    // Each has failed once, at work or retired; the second failure trips.
    for key in 0..2 * LIVE {
        let breaker = family.get(&key.to_string()).unwrap();
        assert_eq!(breaker.status().unwrap().consecutive_failures, 1, "{key}");
    }
    let tripped = family.get("7").unwrap();
    fail(&tripped);
    assert_eq!(tripped.state(), State::Open);
    assert_eq!((family.live(), family.retired()), (LIVE, LIVE));
    // Held by everybody, or open: none can retire, in any shard.
    let held: Vec<_> = family.list();
    assert_eq!(family.get("new").unwrap().name(), family.overflow().name());
    drop(held);
    assert_eq!(&**family.get("new").unwrap().name(), "tenant/new");
    assert_sound(&registry);
}

/// The one that wasn't called for longest retires, and the last called are listed first.
#[test]
fn those_called_last_stay() {
    let (_, family) = family(8, 100);
    let call = |key: &str, at: i64| {
        let permit = family.get(key).unwrap();
        let permit = permit.permit_at(Time::from_millis(at)).unwrap();
        assert_eq!(permit.settle_at(Outcome::success(), Time::from_millis(at)).effect, Effect::Recorded);
    };
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    (0..).zip(keys).for_each(|(at, key)| call(key, at));
    call("a", 10);
    call("i", 11);
    call("j", 12);
    let listed: Vec<String> = family.list().iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(listed, ["j", "i", "a", "h", "g", "f", "e", "d"]);
}

/// A retired breaker that comes back and retires again without a call in between has lost none of its time.
#[test]
fn who_comes_back_unused_is_as_it_was() {
    let (_, family) = family(1, 10);
    let at = Time::from_millis(5_000);
    let breaker = family.get("a").unwrap();
    let _ = breaker.permit_at(at).unwrap().settle_at(Outcome::success(), at);
    let before = breaker.status_at(at).unwrap();
    drop(breaker);
    for _ in 0..3 {
        assert_eq!(&**family.get("b").unwrap().name(), "tenant/b");
        assert_eq!(&**family.get("a").unwrap().name(), "tenant/a");
    }
    assert_eq!(family.get("a").unwrap().status_at(at).unwrap(), before);
}

/// Buffers go to keys that are busy, as many as there are; who doesn't use one any more gives it back, with what it kept.
#[test]
fn buffers_are_lent_to_busy_keys_and_taken_back() {
    let clock = clock();
    let registry = builder(&clock).lease_after(4).build().unwrap();
    let policy = registry.policy("tenant", TWO_FAILURES).unwrap();
    let settings = KeyedSettings { live_max: 10, lent_max: 1, ..KeyedSettings::default() };
    let family = registry.keyed("tenant", &policy, settings).unwrap();
    let leased = || {
        let text = registry.metrics_text();
        let line = text.lines().find_map(|line| line.strip_prefix("softfuse_leased_total{breaker=\"tenant\"} "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let call = |key: &str, calls: u32| {
        for _ in 0..calls {
            clock.advance(Duration::from_millis(1));
            assert_eq!(family.get(key).unwrap().permit().unwrap().success().effect, Effect::Recorded);
        }
    };
    call("a", 20);
    let of_a = leased();
    assert!((10..20).contains(&of_a), "{of_a}");
    // It is asked for its buffer twice, since it was used until now; of the first calls none is kept.
    call("b", 8);
    assert_eq!(leased(), of_a);
    call("b", 40);
    let of_b = leased() - of_a;
    assert!((20..50).contains(&of_b), "{of_b}");
    // While both are busy nobody is robbed, and whoever has none is served as well.
    for _ in 0..40 {
        call("a", 1);
        call("b", 1);
    }
    assert!((30..=40).contains(&(leased() - of_a - of_b)), "{}", leased());
    for (key, calls) in [("a", 60), ("b", 88)] {
        assert_eq!(family.get(key).unwrap().status().unwrap().totals.successes, calls);
    }
    assert_sound(&registry);
}

/// A call that is admitted without asking the component brings its time along, and a trip ends that in every thread.
#[test]
fn a_permit_that_stands_ends_with_its_generation() {
    let (_, family) = family(10, 10);
    let breaker = family.get("a").unwrap();
    let at = Time::from_millis;
    for _ in 0..3 {
        let _ = breaker.permit_at(at(1)).unwrap().settle_at(Outcome::success(), at(1));
    }
    let early = breaker.permit_at(at(100)).unwrap();
    // Time doesn't run backwards, though the component wasn't told of that call.
    breaker.trip_at("enough", None, at(50)).unwrap();
    let refused = breaker.permit_at(at(60)).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(10)));
    assert_eq!(early.settle_at(Outcome::success(), at(200)).effect, Effect::Stale);
    breaker.reset_at(at(300)).unwrap();
    assert_eq!(breaker.permit_at(at(300)).unwrap().settle_at(Outcome::success(), at(301)).effect, Effect::Recorded);
    assert_eq!(breaker.status_at(at(301)).unwrap().totals.successes, 5);
}

/// Threads with keys of their own, more than may be at work: each key's calls are all there in the end.
#[test]
fn threads_share_a_family() {
    const KEYS: usize = 1_500;
    let (registry, family) = family(1_200, KEYS);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let family = &family;
            scope.spawn(move || {
                for round in 0..4 {
                    for key in (thread..KEYS).step_by(if round % 2 == 0 { 4 } else { 1 }) {
                        let breaker = family.get(&key.to_string()).unwrap();
                        assert_eq!(breaker.permit().unwrap().success().effect, Effect::Recorded);
                    }
                }
            });
        }
    });
    let calls: u64 = (0..KEYS)
        .map(|key| family.get(&key.to_string()).unwrap())
        .map(|breaker| {
            assert_ne!(breaker.name(), family.overflow().name());
            breaker.status().unwrap().totals.successes
        })
        .sum();
    let overflown = family.overflow().status().unwrap().totals.successes;
    let made: usize = (0..4).map(|thread| 2 * ((KEYS - thread).div_ceil(4) + KEYS - thread)).sum();
    assert_eq!(calls + overflown, made as u64);
    assert!(family.live() <= 1_200 && overflown < 100, "{} at work, {overflown}", family.live());
    assert_sound(&registry);
}
