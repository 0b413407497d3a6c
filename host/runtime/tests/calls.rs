//! Guarded calls: permits, what settles them and what becomes of them, fallbacks, and that no lock is held meanwhile.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::{POOR_QUALITY, TWO_FAILURES, breaker};
use softfuse::{
    Breaker, CallError, Clock, Effect, FailureKind, FallbackCause, OperatorState, Outcome, OutcomeKind, Refusal,
    Registry, Rejected, Reported, Reporter, Score, State, Time,
};

fn totals(breaker: &Breaker) -> (u64, u64, u64, u64) {
    let totals = breaker.status().unwrap().totals;
    (totals.successes, totals.failures, totals.neutral, totals.rejections)
}

fn trip(breaker: &Breaker) {
    for _ in 0..2 {
        let _ = breaker.permit().unwrap().failure(FailureKind::Error);
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_refusal_says_all_that_a_caller_needs() {
    let (_, clock, breaker) = breaker(TWO_FAILURES);
    trip(&breaker);
    clock.advance(Duration::from_secs(4));
    let refusal = Refusal {
        breaker: "llm".into(),
        state: State::Open,
        reason: breaker.status().unwrap().last_trip.map(|trip| trip.text.into()),
        trip_count: 1,
        component_failure: None,
    };
    let expected = Rejected::new(refusal, Some(Duration::from_secs(6)));
    assert_eq!(breaker.would_refuse(), Some(expected.clone()));
    let called = Cell::new(false);
    let result = breaker.call(|_| {
        called.set(true);
        Ok::<_, ()>(())
    });
    assert_eq!((result, called.get()), (Err(CallError::Rejected(expected.clone())), false));
    let text = expected.to_string();
    assert!(text.starts_with("circuit `llm` is open: ") && text.ends_with("(retry after 6s)"), "{text}");
    assert_eq!(totals(&breaker), (0, 2, 0, 1));
}

#[test]
fn asking_takes_no_probe() {
    let (_, clock, breaker) = breaker(TWO_FAILURES);
    trip(&breaker);
    clock.advance(Duration::from_secs(10));
    for _ in 0..10 {
        assert!(!breaker.is_open());
    }
    assert_eq!(breaker.state(), State::Open);
    let probes = [breaker.permit().unwrap(), breaker.permit().unwrap()];
    assert_eq!(breaker.state(), State::HalfOpen);
    // Two passes are needed, so there is no third probe.
    assert_eq!(breaker.permit().unwrap_err().retry_after(), None);
    for probe in probes {
        assert_eq!(probe.success().effect, Effect::Probed);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_dropped_permit_is_cancelled_and_a_panic_is_a_failure() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    drop(breaker.permit().unwrap());
    assert_eq!(totals(&breaker), (0, 0, 1, 0));
    let panicked = catch_unwind(AssertUnwindSafe(|| breaker.call(|_| -> Result<(), ()> { panic!("a bug") })));
    assert!(panicked.is_err());
    assert_eq!(totals(&breaker), (0, 1, 1, 0));
    assert_eq!(breaker.status().unwrap().consecutive_failures, 1);
}

/// A panic elsewhere, while the call waits or its permit is merely held, is none of the call.
#[tokio::test]
async fn a_call_that_is_dropped_by_anothers_panic_is_neutral() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let guard = breaker.guard::<(), ()>();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut waits = Box::pin(guard.call_async(|_| std::future::pending()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        panic!("another branch");
    }));
    assert!(panicked.is_err());
    assert_eq!(totals(&breaker), (0, 0, 1, 0));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _held = breaker.permit().unwrap();
        panic!("who knows whose");
    }));
    assert!(panicked.is_err());
    assert_eq!(totals(&breaker), (0, 0, 2, 0));
    // Its own panics are failures: before its first await, after it, and while the future is made.
    let task = tokio::spawn({
        let guard = guard.clone();
        async move { guard.call_async(|_| async { panic!("its own") }).await }
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(totals(&breaker), (0, 1, 2, 0));
    breaker.reset().unwrap();
    let task = tokio::spawn(async move {
        let call = guard.call_async(|_| async {
            tokio::task::yield_now().await;
            panic!("its own")
        });
        call.await
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(totals(&breaker), (0, 2, 2, 0));
    breaker.reset().unwrap();
    let made = breaker.clone();
    let task = tokio::spawn(async move {
        made.call_async(|_| -> std::future::Pending<Result<(), ()>> { panic!("its own") }).await
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(totals(&breaker), (0, 3, 2, 0));
}

#[test]
fn a_dropped_probe_frees_its_slot() {
    let (_, clock, breaker) = breaker(TWO_FAILURES);
    trip(&breaker);
    clock.advance(Duration::from_secs(10));
    for _ in 0..10 {
        drop(breaker.permit().unwrap());
    }
    assert_eq!(breaker.status().unwrap().live_probes, 0);
}

#[test]
fn an_outcome_from_before_the_trip_is_stale() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let early = breaker.permit().unwrap();
    trip(&breaker);
    let settled = early.success();
    assert_eq!((settled.effect, settled.change), (Effect::Stale, None));
    assert_eq!(settled.late.report_quality(0.1).unwrap(), (Effect::Stale, None));
}

#[test]
fn the_last_report_wins_and_bad_ones_change_nothing() {
    let (_, _, breaker) = breaker(POOR_QUALITY);
    let mut permit = breaker.permit().unwrap();
    permit.report_quality(0.1).unwrap();
    permit.report_quality(0.9).unwrap();
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1_000_001.0] {
        assert!(permit.report_quality(number).is_err());
    }
    let late = permit.success().late;
    assert_eq!(breaker.status().unwrap().conditions[0].value, Some(0.9));
    for number in [f64::NAN, f64::INFINITY] {
        assert!(late.report_quality(number).is_err());
    }
    // A late score is a sample of its own, and may trip.
    let (effect, change) = late.report_quality(0.05).unwrap();
    assert_eq!((effect, change.unwrap().new), (Effect::Recorded, State::Open));
}

#[test]
fn latency_is_measured_from_permit_to_settlement_unless_it_is_given() {
    let (_, clock, breaker) = breaker("trip_on = { latency_above = { threshold_ms = 100, window = 2 } }");
    let permit = breaker.permit().unwrap();
    clock.advance(Duration::from_millis(150));
    assert_eq!(permit.success().latency, Duration::from_millis(150));
    let permit = breaker.permit().unwrap();
    clock.advance(Duration::from_millis(150));
    let settled = permit.settle(Outcome::success().with_latency(Duration::from_millis(50)));
    assert_eq!((settled.latency, breaker.state()), (Duration::from_millis(50), State::Closed));
}

#[test]
fn the_clock_may_be_handed_in() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let at = Time::from_millis;
    for i in 0..2 {
        let result = breaker.call_at(at(i * 10), |_| (Err::<(), _>("no"), at(i * 10 + 5)));
        assert_eq!(result, Err(CallError::Failed("no")));
    }
    let rejected = breaker.permit_at(at(1015)).unwrap_err();
    assert_eq!(rejected.retry_after(), Some(Duration::from_secs(9)));
    assert!(breaker.is_open_at(at(10_014)) && !breaker.is_open_at(at(10_015)));
    assert_eq!(breaker.status_at(at(1015)).unwrap().since, at(15));
}

#[test]
fn a_call_that_trips_keeps_its_own_result() {
    // A success that trips by its score keeps its value, fallback or not.
    let (_, _, poor) = breaker(POOR_QUALITY);
    let guard = poor.guard::<_, ()>().fallback_value("fallback");
    for _ in 0..2 {
        let answer = guard.call(|permit| {
            permit.report_quality(0.1).unwrap();
            Ok("own")
        });
        assert_eq!(answer, Ok("own"));
    }
    assert_eq!((poor.state(), guard.call(|_| Ok("own"))), (State::Open, Ok("fallback")));

    // An error that trips becomes the fallback where there is one; one that doesn't stays.
    let (_, _, failing) = breaker(TWO_FAILURES);
    let guard = failing.guard::<&str, &str>().fallback(|cause| match cause {
        FallbackCause::Tripped(error) => Ok(error),
        other => other.into_error().map_or(Ok("bad"), Err),
    });
    assert_eq!(guard.call(|_| Err("first")), Err(CallError::Failed("first")));
    assert_eq!(guard.call(|_| Err("second")), Ok("second"));
    assert!(matches!(guard.call(|_| Ok("third")), Err(CallError::Rejected(_))));
}

#[test]
fn the_user_says_what_counts() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let guard = breaker.guard::<u16, &str>().classify(|result| match result {
        Ok(429) => Outcome::failure(FailureKind::RateLimited).with_retry_after(Duration::from_secs(30)),
        Ok(400) => Outcome::new(OutcomeKind::BadRequest),
        Ok(_) => Outcome::success(),
        Err(_) => Outcome::new(OutcomeKind::ContentPolicy),
    });
    for (status, expected) in [(Ok(200), (1, 0, 0, 0)), (Ok(400), (1, 0, 1, 0)), (Err("filtered"), (1, 0, 2, 0))] {
        let _ = guard.call(|_| status);
        assert_eq!(totals(&breaker), expected);
    }
    assert_eq!((guard.call(|_| Ok(429)), guard.call(|_| Ok(429))), (Ok(429), Ok(429)));
    // The provider's Retry-After is longer than the policy's ten seconds.
    assert_eq!(breaker.would_refuse().unwrap().retry_after(), Some(Duration::from_secs(30)));
}

#[test]
fn a_bad_answer_is_replaced_where_that_is_asked_for() {
    let (_, _, breaker) = breaker(POOR_QUALITY);
    let guard = breaker.guard::<&str, ()>().replace_below(Score::new(0.3).unwrap()).fallback(|cause| match cause {
        FallbackCause::BadAnswer(score) if score.get() < 0.2 => Ok("replaced"),
        _ => Err(CallError::Failed(())),
    });
    let scored = |score: f64| {
        guard.call(move |permit| {
            permit.report_quality(score).unwrap();
            Ok("own")
        })
    };
    assert_eq!((scored(0.9), scored(0.1)), (Ok("own"), Ok("replaced")));
    // The fallback fails: the answer is passed on after all.
    assert_eq!(scored(0.25), Ok("own"));
}

#[test]
fn operators_and_hosts_have_their_say() {
    let (_, clock, breaker) = breaker(TWO_FAILURES);
    let change = breaker.set_operator_state(OperatorState::ForcedOpen).unwrap().unwrap();
    assert_eq!((change.old, change.new), (State::Closed, State::ForcedOpen));
    assert_eq!(breaker.set_operator_state(OperatorState::ForcedOpen).unwrap(), None);
    assert_eq!(breaker.permit().unwrap_err().state, State::ForcedOpen);
    assert_eq!(breaker.reset().unwrap().unwrap().new, State::Closed);
    let change = breaker.trip("the provider says so", Some(Duration::from_secs(90))).unwrap().unwrap();
    assert_eq!(change.open_until, Some(breaker.now() + Duration::from_secs(90)));
    clock.advance(Duration::from_secs(89));
    assert_eq!(breaker.would_refuse().unwrap().reason.as_deref(), Some("the provider says so"));
    clock.advance(Duration::from_secs(1));
    assert!(!breaker.is_open());
}

/// Twenty calls that all have to be under way at once: a breaker that held a lock across them would never let them.
#[test]
fn no_lock_is_held_during_a_call() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let met = Arc::new((Mutex::new(0), Condvar::new()));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                breaker.call(|_| {
                    let (count, all) = &*met;
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    all.notify_all();
                    let (_count, waited) =
                        all.wait_timeout_while(count, Duration::from_secs(60), |count| *count < 20).unwrap();
                    if waited.timed_out() { Err("alone") } else { Ok(()) }
                })
            });
        }
    });
    assert_eq!(totals(&breaker), (20, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asynchronous_calls_run_at_once_too() {
    let (_, _, breaker) = breaker(POOR_QUALITY);
    let barrier = Arc::new(tokio::sync::Barrier::new(20));
    let calls = (0..20).map(|i| {
        let (breaker, barrier) = (breaker.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            let call = breaker.call_async(|report| async move {
                barrier.wait().await;
                report.report_quality(0.8).map(|_| i)
            });
            tokio::time::timeout(Duration::from_secs(60), call).await
        })
    });
    for (i, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), Ok(i));
    }
    let status = breaker.status().unwrap();
    assert_eq!((status.totals.successes, status.conditions[0].value), (20, Some(0.8)));
}

#[tokio::test]
async fn a_cancelled_future_is_neutral() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let call = breaker.call_async(|_| std::future::pending::<Result<(), ()>>());
    assert!(tokio::time::timeout(Duration::from_millis(1), call).await.is_err());
    assert_eq!(totals(&breaker), (0, 0, 1, 0));
}

#[tokio::test]
async fn an_asynchronous_fallback_is_awaited() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let guard = breaker.guard::<&str, &str>();
    let call = |result: Result<&'static str, &'static str>| {
        guard.call_async_or(
            move |_| async move { result },
            |cause| async move {
                tokio::task::yield_now().await;
                match cause {
                    FallbackCause::Rejected(_) => Ok("the next provider"),
                    FallbackCause::Tripped(error) => Ok(error),
                    FallbackCause::BadAnswer(_) => Err(CallError::Failed("bad")),
                }
            },
        )
    };
    assert_eq!(call(Ok("own")).await, Ok("own"));
    assert_eq!(call(Err("first")).await, Err(CallError::Failed("first")));
    assert_eq!(call(Err("second")).await, Ok("second"));
    assert_eq!(call(Ok("own")).await, Ok("the next provider"));
}

/// The scores that its quality condition has seen, and their mean.
fn scores(breaker: &Breaker) -> (u32, Option<f64>) {
    let reading = breaker.status().unwrap().conditions.remove(0);
    (reading.filled, reading.value)
}

const MISSING_COUNTS: &str =
    "require_quality_signal = true\ntrip_on = { quality_below = { threshold = 0.5, window = 100 } }";

fn late(effect: Effect) -> Result<Reported, softfuse::InvalidScore> {
    Ok(Reported::Late { effect, change: None })
}

#[tokio::test]
async fn a_report_after_the_call_is_a_late_score() {
    let (_, _, breaker) = breaker(POOR_QUALITY);
    let mut kept = None;
    let call = breaker.call_async(|reporter| {
        kept = Some(reporter.clone());
        async move {
            assert_eq!(reporter.report_quality(0.1), Ok(Reported::Kept));
            assert_eq!(reporter.report_quality(0.9), Ok(Reported::Kept));
            assert!(reporter.report_quality(f64::NAN).is_err());
            Ok::<_, ()>(())
        }
    });
    assert_eq!(call.await, Ok(()));
    let judge: Reporter = kept.unwrap();
    assert_eq!((scores(&breaker), judge.reported()), ((1, Some(0.9)), None));
    assert!(judge.report_quality(f64::NAN).is_err());
    assert_eq!(judge.report_quality(0.7), late(Effect::Recorded));
    let (filled, mean) = scores(&breaker);
    assert!(filled == 2 && (mean.unwrap() - 0.8).abs() < 1e-9, "{mean:?}");
    // It may trip, and is stale from then on.
    judge.report_quality(0.1).unwrap();
    match judge.report_quality(0.0) {
        Ok(Reported::Late { effect: Effect::Stale, change: None }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_permit_hands_out_reporters_too() {
    let (_, _, breaker) = breaker(POOR_QUALITY);
    let mut kept = None;
    let answer = breaker.call(|permit| {
        permit.report_quality(0.2).unwrap();
        let reporter = permit.reporter();
        // One that is made later knows of what was reported before, and of both the last report counts.
        assert_eq!(reporter.reported().map(Score::get), Some(0.2));
        reporter.report_quality(0.4).unwrap();
        permit.report_quality(0.6).unwrap();
        kept = Some(reporter);
        Ok::<_, ()>("own")
    });
    assert_eq!((answer, scores(&breaker)), (Ok("own"), (1, Some(0.6))));
    assert_eq!(kept.unwrap().report_quality(1.0), late(Effect::Recorded));
    // A neutral call's score is wanted by nobody, before its end and after.
    let mut permit = breaker.permit().unwrap();
    let reporter = permit.reporter();
    drop(permit);
    assert_eq!(reporter.report_quality(0.0), late(Effect::Ignored));
    assert_eq!(scores(&breaker).0, 2);
}

/// The debt of a pending score is paid, once, by whoever holds a reporter, or at once where nobody does.
#[tokio::test]
async fn a_promised_score_comes_or_is_missing() {
    let (_, _, breaker) = breaker(MISSING_COUNTS);
    let guard = breaker.guard::<&str, ()>().classify(|_| Outcome::success().with_pending_score());
    // Nobody keeps one.
    assert_eq!(guard.call(|_| Ok("own")), Ok("own"));
    assert_eq!(scores(&breaker), (1, Some(0.0)));
    assert_eq!(guard.call_async(|_| async { Ok("own") }).await, Ok("own"));
    assert_eq!(scores(&breaker), (2, Some(0.0)));
    // Somebody keeps two, and drops them.
    let mut kept = Vec::new();
    let call = guard.call_async(|reporter| {
        kept.extend([reporter.clone(), reporter]);
        async { Ok("own") }
    });
    assert_eq!(call.await, Ok("own"));
    kept.pop();
    assert_eq!(scores(&breaker).0, 2);
    kept.pop();
    assert_eq!(scores(&breaker), (3, Some(0.0)));
    // Somebody keeps it and reports.
    guard
        .call(|permit| {
            kept.push(permit.reporter());
            Ok("own")
        })
        .unwrap();
    assert_eq!(scores(&breaker).0, 3);
    assert_eq!(kept[0].report_quality(1.0), late(Effect::Recorded));
    kept.clear();
    assert_eq!(scores(&breaker), (4, Some(0.25)));
    // Somebody says that none will come, twice.
    guard
        .call(|permit| {
            kept.push(permit.reporter());
            Ok("own")
        })
        .unwrap();
    kept[0].report_missing();
    kept[0].report_missing();
    kept.clear();
    assert_eq!(scores(&breaker).0, 5);
    // It came before the end: nothing is owed.
    guard.call(|permit| permit.report_quality(1.0).map(|()| "own").map_err(drop)).unwrap();
    assert_eq!(scores(&breaker).0, 6);
}

#[test]
fn a_permit_settled_by_hand_leaves_the_debt_to_whoever_holds_it() {
    let (_, _, breaker) = breaker(MISSING_COUNTS);
    let pending = Outcome::success().with_pending_score();
    // With `late` alone, its holder decides.
    let settled = breaker.permit().unwrap().settle(pending);
    assert_eq!(scores(&breaker).0, 0);
    let _ = settled.late.report_missing();
    assert_eq!(scores(&breaker).0, 1);
    // Whoever asked for a reporter may have given up before the settlement.
    let mut permit = breaker.permit().unwrap();
    drop(permit.reporter());
    permit.settle(pending);
    assert_eq!(scores(&breaker).0, 2);
    // With a reporter about, the debt is the reporter's, unless it is paid through `late`.
    for (paid, expected) in [(false, (3, Some(0.0))), (true, (4, Some(0.225)))] {
        let mut permit = breaker.permit().unwrap();
        let reporter = permit.reporter();
        let settled = permit.settle(pending);
        if paid {
            settled.late.report_quality(0.9).unwrap();
        }
        drop(reporter);
        let (filled, mean) = scores(&breaker);
        let mean = mean.map(|mean| (mean * 1e6).round() / 1e6);
        assert_eq!((filled, mean), expected);
    }
}

#[test]
fn a_failed_calls_own_error_is_at_hand() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let error = breaker.call(|_| Err::<(), _>(std::io::Error::other("the network"))).unwrap_err();
    assert_eq!(error.failed().map(ToString::to_string), Some(error.to_string()));
    let _ = breaker.call(|_| Err::<(), _>("no"));
    assert_eq!(breaker.call(|_| Ok::<_, ()>(())).unwrap_err().failed(), None);
}

/// A clock that panics while its switch is on.
#[derive(Clone, Default)]
struct Moody(Arc<AtomicBool>);

impl Clock for Moody {
    fn now(&self) -> Time {
        assert!(!self.0.load(Ordering::SeqCst), "a clock of the user's");
        Time::from_millis(1)
    }
}

/// A breaker with such a clock, and the switch.
fn with_moody_clock() -> (Arc<AtomicBool>, Breaker) {
    let clock = Moody::default();
    let registry = Registry::builder().cache(common::cache()).clock(clock.clone()).salt(0).build().unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    (clock.0, registry.breaker("llm", &policy).unwrap())
}

/// Totals, at a time that no clock is asked for.
fn totals_at(breaker: &Breaker) -> (u64, u64, u64) {
    let totals = breaker.status_at(Time::from_millis(1)).unwrap().totals;
    (totals.successes, totals.failures, totals.neutral)
}

#[tokio::test]
async fn a_clock_that_panics_costs_no_answer_and_counts_all_the_same() {
    let (broken, breaker) = with_moody_clock();
    let breaks = || broken.store(true, Ordering::SeqCst);
    let mends = || broken.store(false, Ordering::SeqCst);
    let answers = |_: &mut softfuse::Permit| {
        breaks();
        Ok::<_, ()>("own")
    };
    assert_eq!(breaker.call(answers), Ok("own"));
    mends();
    assert_eq!(breaker.guard().call(answers), Ok("own"));
    mends();
    let call = breaker.call_async(|_| async {
        breaks();
        Ok::<_, ()>("own")
    });
    assert_eq!(call.await, Ok("own"));
    mends();
    assert_eq!(totals_at(&breaker), (3, 0, 0));
    // An error stays the service's.
    let failed = breaker.call(|_| {
        breaks();
        Err::<(), _>("no")
    });
    mends();
    assert_eq!((failed, totals_at(&breaker)), (Err(CallError::Failed("no")), (3, 1, 0)));
}

/// A panic while another unwinds would end the process.
#[test]
fn a_clock_that_panics_at_a_dropped_permit_ends_nothing() {
    let (broken, breaker) = with_moody_clock();
    let permit = breaker.permit().unwrap();
    broken.store(true, Ordering::SeqCst);
    drop(permit);
    assert_eq!(totals_at(&breaker), (0, 0, 1));
    // A panic of the call's own.
    broken.store(false, Ordering::SeqCst);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        breaker.call(|_| -> Result<(), ()> {
            broken.store(true, Ordering::SeqCst);
            panic!("its own")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(totals_at(&breaker), (0, 1, 1));
    // Whoever settles by hand hears of the clock; the call that wasn't settled is neutral.
    broken.store(false, Ordering::SeqCst);
    let permit = breaker.permit().unwrap();
    broken.store(true, Ordering::SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| permit.success())).is_err());
    assert_eq!(totals_at(&breaker), (0, 1, 2));
}

#[tokio::test]
async fn a_fallback_that_panics_costs_no_answer() {
    let (_, _, breaker) = breaker(POOR_QUALITY);
    let bad = |permit: &mut softfuse::Permit| {
        permit.report_quality(0.4).unwrap();
        Ok("own")
    };
    let guard = breaker.guard::<&str, ()>().replace_below(Score::new(0.5).unwrap());
    assert_eq!(guard.clone().fallback(|_| panic!("a hook of the user's")).call(bad), Ok("own"));
    let bad = async |reporter: Reporter| {
        reporter.report_quality(0.6).unwrap();
        Ok("own")
    };
    let guard = guard.replace_below(Score::new(0.7).unwrap());
    assert_eq!(guard.call_async_or(bad, |_| async { panic!("a hook of the user's") }).await, Ok("own"));
    let panics_at_once = |_| -> std::future::Ready<Result<&str, CallError<()>>> { panic!("a hook of the user's") };
    assert_eq!(guard.call_async_or(bad, panics_at_once).await, Ok("own"));
    let panics_later = |_| async {
        tokio::task::yield_now().await;
        panic!("a hook of the user's")
    };
    assert_eq!(guard.call_async_or(bad, panics_later).await, Ok("own"));
    assert_eq!(guard.call_async_or(bad, async |_| Ok("instead")).await, Ok("instead"));
    assert_eq!(breaker.state(), State::Closed);
}
