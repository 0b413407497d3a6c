//! Bulkheads: places, the queue and its order, what is refused, from threads and tasks alike.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use softfuse::{Bulkhead, BulkheadCounts, BulkheadError, BulkheadSettings, Place};

use crate::common::{TWO_FAILURES, breaker};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

fn bulkhead(concurrent_max: usize, queue_max: usize, queue_timeout: Duration) -> Bulkhead {
    Bulkhead::new("chat", BulkheadSettings { concurrent_max, queue_max, queue_timeout }).unwrap()
}

/// In use, waiting, refused, timed out.
fn counts(bulkhead: &Bulkhead) -> (usize, usize, u64, u64) {
    let BulkheadCounts { in_use, waiting, refused, timed_out } = bulkhead.counts();
    (in_use, waiting, refused, timed_out)
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what}");
        thread::yield_now();
    }
}

fn full(waiting: usize, queue_max: usize) -> BulkheadError {
    BulkheadError::Full { bulkhead: "chat".into(), concurrent_max: 2, waiting, queue_max }
}

#[test]
fn places_are_bounded_and_come_back() {
    let bulkhead = bulkhead(2, 0, LONG);
    let first = bulkhead.enter().unwrap();
    let second = bulkhead.try_enter().unwrap();
    // Nobody may wait, so nobody does, however long they would.
    assert_eq!(bulkhead.enter().unwrap_err(), full(0, 0));
    assert_eq!(bulkhead.try_enter().unwrap_err(), full(0, 0));
    assert_eq!(counts(&bulkhead), (2, 0, 2, 0));
    let text = full(0, 0).to_string();
    assert_eq!(text, "bulkhead `chat` is full: it takes 2 calls at once, and 0 of at most 0 callers wait");
    drop(first);
    assert_eq!(counts(&bulkhead), (1, 0, 2, 0));
    // A panic frees a place too.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _place = bulkhead.enter().unwrap();
        assert_eq!(bulkhead.counts().in_use, 2);
        panic!("a bug");
    }));
    assert!(panicked.is_err());
    // A place goes anywhere, and its bulkhead may be gone before it.
    let clone = bulkhead.clone();
    drop(bulkhead);
    thread::spawn(move || drop(second)).join().unwrap();
    assert_eq!(counts(&clone), (0, 0, 2, 0));
}

#[test]
fn threads_are_never_more_than_may_be() {
    let bulkhead = bulkhead(3, 8, LONG);
    let (inside, peak, served) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let _place = bulkhead.enter().unwrap();
                    peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!((peak.into_inner(), served.into_inner()), (3, 1600));
    assert_eq!(counts(&bulkhead), (0, 0, 0, 0));
}

#[test]
fn full_and_timed_out_are_two_errors_and_no_outcomes() {
    let (_, _, breaker) = breaker(TWO_FAILURES);
    let bulkhead = bulkhead(2, 1, LONG);
    let call = |timeout| -> Result<(), BulkheadError> {
        let _place = bulkhead.enter_timeout(timeout)?;
        breaker.call(|_| Ok::<_, ()>(())).unwrap();
        Ok(())
    };
    call(LONG).unwrap();
    let (_first, second) = (bulkhead.enter().unwrap(), bulkhead.enter().unwrap());
    let waited = Duration::from_millis(30);
    let begun = Instant::now();
    let timed_out = call(waited).unwrap_err();
    assert!(begun.elapsed() >= waited, "{:?}", begun.elapsed());
    assert_eq!(timed_out, BulkheadError::TimedOut { bulkhead: "chat".into(), concurrent_max: 2, waited });
    assert_eq!(timed_out.to_string(), "bulkhead `chat`: no place within 30ms; it takes 2 calls at once");
    // Without any time, it is the queue all the same.
    assert!(matches!(call(Duration::ZERO), Err(BulkheadError::TimedOut { waited: Duration::ZERO, .. })));
    assert_eq!(counts(&bulkhead), (2, 0, 0, 2));
    thread::scope(|scope| {
        scope.spawn(|| call(LONG).unwrap());
        wait_until("it waits", || bulkhead.counts().waiting == 1);
        assert_eq!(call(LONG).unwrap_err(), full(1, 1));
        drop(second);
    });
    assert_eq!(counts(&bulkhead), (1, 0, 1, 2));
    let totals = breaker.status().unwrap().totals;
    assert_eq!((totals.calls, totals.successes, totals.rejections), (2, 2, 0));
}

/// Threads and tasks stand in one queue. One that leaves it lets those behind it move up.
#[test]
fn who_comes_first_is_served_first() {
    let bulkhead = bulkhead(1, 8, LONG);
    let place = bulkhead.enter().unwrap();
    let order = Mutex::new(Vec::new());
    let served = |number: usize, place: Place| {
        order.lock().unwrap().push(number);
        drop(place);
    };
    let (bulkhead, served) = (&bulkhead, &served);
    let mut context = Context::from_waker(Waker::noop());
    let mut leaves = Box::pin(bulkhead.enter_async());
    thread::scope(|scope| {
        for number in 0..6 {
            if number == 3 {
                assert!(leaves.as_mut().poll(&mut context).is_pending());
            } else if number % 2 == 0 {
                scope.spawn(move || served(number, bulkhead.enter().unwrap()));
            } else {
                // On an executor that isn't tokio's.
                scope.spawn(move || served(number, pollster::block_on(bulkhead.enter_async()).unwrap()));
            }
            wait_until("they wait", || bulkhead.counts().waiting == number + 1);
        }
        drop(leaves);
        assert_eq!(bulkhead.counts().waiting, 5);
        drop(place);
    });
    assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 4, 5]);
    assert_eq!(counts(bulkhead), (0, 0, 0, 0));
}

/// Nobody overtakes, not by `try_enter` either: a place that comes free is the first waiter's, though it hasn't woken up yet.
#[test]
fn a_place_that_came_for_a_caller_who_is_gone_is_free_again() {
    let bulkhead = bulkhead(1, 1, LONG);
    let place = bulkhead.enter().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut waits = pin!(bulkhead.enter_async());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        drop(place);
        assert!(bulkhead.try_enter().is_err());
    }
    assert_eq!((bulkhead.counts().in_use, bulkhead.counts().waiting), (0, 0));
    drop(bulkhead.try_enter().unwrap());
    // One that was never polled has never waited.
    drop(bulkhead.enter_async());
    assert_eq!(counts(&bulkhead), (0, 0, 1, 0));
}

/// One of those that are inside, until it is dropped: a task that goes away is counted no longer, wherever it was.
struct Counted<'a> {
    inside: &'a AtomicUsize,
    number: usize,
}

impl<'a> Counted<'a> {
    fn of(inside: &'a AtomicUsize) -> Self {
        Self { inside, number: inside.fetch_add(1, Ordering::SeqCst) + 1 }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_come_and_go_leave_nothing_behind() {
    let bulkhead = bulkhead(3, 5, LONG);
    let (inside, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..400_u64)
        .map(|number| {
            let (bulkhead, inside, peak) = (bulkhead.clone(), Arc::clone(&inside), Arc::clone(&peak));
            tokio::spawn(async move {
                let queue_timeout = Duration::from_micros(number % 7 * 200);
                let call = async {
                    let place = bulkhead.enter_timeout_async(queue_timeout).await?;
                    let counted = Counted::of(&inside);
                    peak.fetch_max(counted.number, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    drop((counted, place));
                    Ok::<_, BulkheadError>(())
                };
                // Every fifth goes away while it waits or soon after.
                let patience = if number % 5 == 0 { Duration::from_micros(50) } else { LONG };
                tokio::time::timeout(patience, call).await
            })
        })
        .collect();
    let (mut refused, mut timed_out) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(Err(BulkheadError::Full { waiting, .. })) => {
                assert_eq!(waiting, 5);
                refused += 1;
            }
            Ok(Err(BulkheadError::TimedOut { .. })) => timed_out += 1,
            _ => {}
        }
    }
    assert!(peak.load(Ordering::SeqCst) <= 3);
    assert_eq!(counts(&bulkhead), (0, 0, refused, timed_out));
    let all: Vec<Place> = (0..3).map(|_| bulkhead.try_enter().unwrap()).collect();
    assert!(bulkhead.try_enter().is_err());
    drop(all);
}

/// tokio's runtimes hold back tasks that have used up their share, by waking them from their own thread alone. Who blocks that
/// thread would wait for itself.
#[tokio::test]
async fn a_task_that_blocks_is_woken_however_much_it_did_before() {
    let bulkhead = bulkhead(1, 1, Duration::from_secs(10));
    let place = bulkhead.enter().unwrap();
    let other = tokio::sync::Semaphore::new(1000);
    let mut context = Context::from_waker(Waker::noop());
    while pin!(other.acquire()).poll(&mut context).is_ready() {}
    let waits = bulkhead.clone();
    let releases = thread::spawn(move || {
        wait_until("the task waits", || waits.counts().waiting == 1);
        drop(place);
    });
    assert!(bulkhead.enter().is_ok());
    releases.join().unwrap();
    assert_eq!(counts(&bulkhead), (0, 0, 0, 0));
}

#[test]
fn settings_have_ranges_and_presets_are_within_them() {
    let good = BulkheadSettings { concurrent_max: 1, queue_max: 0, queue_timeout: Duration::ZERO };
    assert_eq!(Bulkhead::new("x", good).unwrap().settings(), &good);
    let bad = [
        (BulkheadSettings { concurrent_max: 0, ..good }, "`concurrent_max` is 0, and may be 1 to 1000000"),
        (
            BulkheadSettings { concurrent_max: 1_000_001, ..good },
            "`concurrent_max` is 1000001, and may be 1 to 1000000",
        ),
        (BulkheadSettings { queue_max: 1_000_001, ..good }, "`queue_max` is 1000001, and may be 0 to 1000000"),
        (
            BulkheadSettings { queue_timeout: Duration::from_secs(86_401), ..good },
            "`queue_timeout` is 86401s, and may be 24 hours at most",
        ),
    ];
    for (settings, expected) in bad {
        assert_eq!(Bulkhead::new("x", settings).unwrap_err().to_string(), format!("bulkhead `x`: {expected}"));
    }
    let presets = [BulkheadSettings::CHAT, BulkheadSettings::EMBEDDINGS, BulkheadSettings::TOOLS];
    for (settings, concurrent_max, seconds) in presets
        .into_iter()
        .zip([10, 20, 5])
        .zip([30, 10, 30])
        .map(|((settings, max), seconds)| (settings, max, seconds))
    {
        let expected = BulkheadSettings { concurrent_max, queue_max: 100, queue_timeout: Duration::from_secs(seconds) };
        assert_eq!(settings, expected);
        let bulkhead = Bulkhead::new("preset", settings).unwrap();
        let places: Vec<Place> = (0..concurrent_max).map(|_| bulkhead.try_enter().unwrap()).collect();
        assert!(bulkhead.try_enter().is_err());
        drop(places);
    }
    // Beyond the range by the call alone, it is the longest that there can be, and no overflow.
    let bulkhead = bulkhead(1, 1, LONG);
    let place = bulkhead.enter().unwrap();
    let mut waits = pin!(bulkhead.enter_timeout_async(Duration::MAX));
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(place);
}
