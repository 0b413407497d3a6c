//! Who hands events out, in which order, and for how long.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Callback, Hub};
use crate::types::Event;

/// How long a test waits for what must come.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn event(number: usize) -> Event {
    Event::ConditionPanicked { breaker: "llm".into(), condition: number.to_string().into() }
}

fn number(event: &Event) -> usize {
    match event {
        Event::ConditionPanicked { condition, .. } => condition.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn tell(hub: &Arc<Hub>, number: usize) {
    hub.queue(&mut vec![event(number)]);
    hub.deliver();
}

/// A hub whose only callback is handed the hub as well.
fn hub(capacity: usize, callback: impl Fn(&Arc<Hub>, usize) + Send + Sync + 'static) -> Arc<Hub> {
    Arc::new_cyclic(|weak: &std::sync::Weak<Hub>| {
        let weak = weak.clone();
        let callback: Callback = Arc::new(move |event| callback(&weak.upgrade().unwrap(), number(event)));
        Hub::new(capacity, vec![callback])
    })
}

/// Each event that is handed out makes another thread queue the next: whoever came first isn't kept for all of them.
#[test]
fn a_thread_hands_out_no_more_than_is_its_own() {
    const EVENTS: usize = 100;
    let (sender, seen) = mpsc::channel::<(usize, ThreadId)>();
    let sender = Mutex::new(sender);
    let hub = hub(8, move |hub, number| {
        sender.lock().send((number, thread::current().id())).unwrap();
        if number + 1 < EVENTS {
            let hub = Arc::clone(hub);
            thread::spawn(move || tell(&hub, number + 1)).join().unwrap();
        }
    });
    let subscription = hub.subscribe();
    tell(&hub, 0);
    let seen: Vec<_> = (0..EVENTS).map(|_| seen.recv_timeout(WAIT_MAX).unwrap()).collect();
    assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..EVENTS).collect::<Vec<_>>());
    let here = seen.iter().filter(|(_, by)| *by == thread::current().id()).count();
    assert_eq!(here, 1, "the caller's own event, and none of the others'");
    // Subscribers get them by the same way: what their streams have no room for is counted.
    let first = subscription.next_within(WAIT_MAX).as_ref().map(number);
    assert_eq!(first, Some(0));
}

/// What a callback makes is handed out before its thread goes on, as long as there is an end to it.
#[test]
fn a_callbacks_own_events_are_its_threads() {
    const CAPACITY: usize = 16;
    for (events, here_expected) in [(5, 5), (40, CAPACITY)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let (sender, done) = mpsc::channel();
        let sender = Mutex::new(sender);
        let hub = hub(CAPACITY, move |hub, number| {
            noted.lock().push((number, thread::current().id()));
            if number + 1 < events {
                tell(hub, number + 1);
            } else {
                sender.lock().send(()).unwrap();
            }
        });
        tell(&hub, 0);
        if events <= CAPACITY {
            assert_eq!(seen.lock().len(), events, "all of them, by now");
        }
        done.recv_timeout(WAIT_MAX).unwrap();
        let seen = seen.lock();
        assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..events).collect::<Vec<_>>());
        assert_eq!(seen.iter().filter(|(_, by)| *by == thread::current().id()).count(), here_expected);
    }
}

/// Nothing is lost or left lying, nothing is handed out twice or at the same time, and each thread's events keep their order.
#[test]
fn events_of_many_threads_all_go_out() {
    const THREADS: usize = 4;
    const EACH: usize = 2_000;
    let inside = AtomicUsize::new(0);
    let (sender, seen) = mpsc::channel();
    let sender = Mutex::new(sender);
    let hub = hub(THREADS * EACH, move |_, number| {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
        sender.lock().send(number).unwrap();
        inside.fetch_sub(1, Ordering::SeqCst);
    });
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (hub, start) = (&hub, &start);
            scope.spawn(move || {
                start.wait();
                (0..EACH).for_each(|index| tell(hub, thread * EACH + index));
            });
        }
    });
    let mut next: Vec<usize> = (0..THREADS).map(|thread| thread * EACH).collect();
    for _ in 0..THREADS * EACH {
        let number = seen.recv_timeout(WAIT_MAX).unwrap();
        assert_eq!(number, next[number / EACH]);
        next[number / EACH] += 1;
    }
    // Nobody is at it any more: the next event goes out at once.
    while matches!(hub.queue.lock().courier, super::Courier::Own) {
        thread::yield_now();
    }
    let subscription = hub.subscribe();
    tell(&hub, 0);
    assert!(subscription.try_next().is_some());
}
