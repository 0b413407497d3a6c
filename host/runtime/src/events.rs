//! Hands events out: to callbacks, to subscribers, to the log.
//!
//! They are queued under the breaker's lock, so that they keep their order, and handed out after it is released, by
//! whichever thread comes first: one at a time, so a callback never runs twice at once, and may itself use the breaker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flume::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Mutex, RwLock};

use crate::caught::caught;
use crate::types::{Event, EventReason, State};

/// What is called with every event.
pub(crate) type Callback = Arc<dyn Fn(&Event) + Send + Sync>;

/// Callbacks and subscribers of a registry.
pub(crate) struct Hub {
    queue: Mutex<VecDeque<Event>>,
    capacity: usize,
    delivering: Mutex<()>,
    callbacks: RwLock<Vec<Callback>>,
    subscribers: Mutex<Vec<Subscriber>>,
    /// Events that nobody was told of, since too many waited.
    dropped: Arc<AtomicU64>,
}

struct Subscriber {
    sender: Sender<Event>,
    dropped: Arc<AtomicU64>,
}

/// A bounded stream of events, for threads and for tasks. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    receiver: Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

impl Subscription {
    /// The next event, if one is waiting.
    #[must_use]
    pub fn try_next(&self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// The next event, waited for so long at most. `None` also where the registry is gone.
    #[must_use]
    pub fn next_within(&self, wait_max: Duration) -> Option<Event> {
        self.receiver.recv_timeout(wait_max).ok()
    }

    /// Waits for the next event without holding up a thread, on any executor. `None`: the registry is gone.
    pub async fn next_async(&self) -> Option<Event> {
        self.receiver.recv_async().await.ok()
    }

    /// How many events were dropped, since this stream was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Waits for each event; ends when the registry is gone.
impl Iterator for Subscription {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.receiver.recv().ok()
    }
}

impl Hub {
    pub(crate) fn new(capacity: usize, callbacks: Vec<Callback>) -> Self {
        Self {
            queue: Mutex::new(VecDeque::new()),
            capacity: capacity.max(1),
            delivering: Mutex::new(()),
            callbacks: RwLock::new(callbacks),
            subscribers: Mutex::new(Vec::new()),
            dropped: Arc::default(),
        }
    }

    pub(crate) fn on_event(&self, callback: Callback) {
        self.callbacks.write().push(callback);
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let (sender, receiver) = bounded(self.capacity);
        let dropped = Arc::new(AtomicU64::new(0));
        self.subscribers.lock().push(Subscriber { sender, dropped: Arc::clone(&dropped) });
        Subscription { receiver, dropped }
    }

    /// Counts the events that nobody was told of.
    pub(crate) fn dropped(&self) -> &Arc<AtomicU64> {
        &self.dropped
    }

    /// Queues events. The caller holds their breaker's lock, which gives them their order.
    pub(crate) fn queue(&self, events: &mut Vec<Event>) {
        let mut queue = self.queue.lock();
        for event in events.drain(..) {
            if queue.len() < self.capacity {
                queue.push_back(event);
            } else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Hands out what is queued, unless another thread is at it. The caller holds no lock.
    pub(crate) fn deliver(&self) {
        // Another thread, or this one in a callback, may have found the queue empty and not yet let go: look again.
        while !self.queue.lock().is_empty() {
            let Some(_delivering) = self.delivering.try_lock() else { return };
            loop {
                let Some(event) = self.queue.lock().pop_front() else { break };
                self.hand_out(&event);
            }
        }
    }

    fn hand_out(&self, event: &Event) {
        // A subscriber of the log is somebody's code, too.
        let _ = caught("the log", || log(event));
        // Cloned, so that a callback may add one.
        let callbacks = self.callbacks.read().clone();
        for callback in callbacks {
            let _ = caught("an event callback", || callback(event));
        }
        self.subscribers.lock().retain(|subscriber| match subscriber.sender.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                subscriber.dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
    }
}

fn log(event: &Event) {
    match event {
        Event::StateChanged { breaker, change } => {
            let (old, new, reason) = (change.old.as_str(), change.new.as_str(), &change.reason);
            let trip_count = change.trip_count;
            if change.new == State::Open || matches!(reason, EventReason::WouldHaveTripped(_)) {
                tracing::warn!(%breaker, old, new, %reason, trip_count, "circuit");
            } else {
                tracing::info!(%breaker, old, new, %reason, trip_count, "circuit");
            }
        }
        Event::ComponentFailed { breaker, failure } => {
            tracing::warn!(%breaker, %failure, "a call went without its breaker");
        }
        Event::BreakerRestored { breaker, state, records_lost, from_snapshot } => {
            tracing::warn!(%breaker, %state, records_lost, from_snapshot, "a breaker was brought back");
        }
        Event::ScorerFailed { breaker, scorer, failure } => {
            tracing::warn!(%breaker, %scorer, %failure, "no score");
        }
        Event::ConditionPanicked { breaker, condition } => {
            tracing::error!(%breaker, %condition, "a host's condition panicked, and counts as not holding");
        }
    }
}
