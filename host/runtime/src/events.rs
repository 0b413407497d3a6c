//! Hands events out: to callbacks, to subscribers, to the log.
//!
//! They are queued under the breaker's lock, so that they keep their order, and handed out after it is released, by
//! whichever thread comes first: one at a time, so a callback never runs twice at once, and may itself use the breaker.
//!
//! A thread that hands out is a caller's, so it goes on as soon as its own events are out: those that it has queued, and
//! those that its callbacks have. What others have queued meanwhile is left to a thread that is started for that, and ends
//! when nothing waits any more. Whether something waits and whether somebody is at it change under one lock, so that
//! nothing is left lying.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use flume::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Mutex, RwLock};

use crate::caught::caught;
use crate::types::{Event, EventReason, State};

/// Stack of the thread that hands out what is left: as much as threads usually have. Said here, since the user's default
/// (`RUST_MIN_STACK`) may be less, and callbacks may do as they like.
const STACK_BYTES: usize = 2 << 20;

/// What is called with every event.
pub(crate) type Callback = Arc<dyn Fn(&Event) + Send + Sync>;

/// Callbacks and subscribers of a registry.
pub(crate) struct Hub {
    queue: Mutex<Queue>,
    capacity: usize,
    callbacks: RwLock<Vec<(u64, Callback)>>,
    /// Callbacks that there were, ever: the next one's number.
    called: AtomicU64,
    subscribers: Mutex<Vec<Subscriber>>,
    /// Events that nobody was told of, since too many waited.
    dropped: Arc<AtomicU64>,
}

/// What waits, and who hands it out.
struct Queue {
    events: VecDeque<Event>,
    /// Events that were taken out, ever.
    taken: u64,
    courier: Courier,
}

/// Who hands out.
enum Courier {
    Nobody,
    /// A thread that has something else to do, up to its own last event: so many are to be taken out, ever.
    Caller {
        thread: ThreadId,
        until: u64,
    },
    /// One that stays until nothing waits.
    Own,
}

struct Subscriber {
    sender: Sender<Event>,
    dropped: Arc<AtomicU64>,
}

/// A bounded stream of events, for threads and for tasks. Dropping it ends the subscription.
///
/// An event is there when the call that made it returns, but where other threads make events at the same time: then it may
/// come a little later.
#[derive(Debug)]
pub struct Subscription {
    receiver: Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

/// A callback that hears of events until this is dropped: [`Registry::listen`](crate::Registry::listen). One event that is being
/// told may still reach it.
#[must_use = "a listener that is dropped hears nothing"]
pub struct Listener {
    number: u64,
    hub: Weak<Hub>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut callbacks = hub.callbacks.write();
        let at = callbacks.iter().position(|(number, _)| *number == self.number);
        let callback = at.map(|at| callbacks.remove(at));
        // Dropped after the lock, since it is somebody's code.
        drop(callbacks);
        drop(callback);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("number", &self.number).finish_non_exhaustive()
    }
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
            queue: Mutex::new(Queue { events: VecDeque::new(), taken: 0, courier: Courier::Nobody }),
            capacity: capacity.max(1),
            called: AtomicU64::new(callbacks.len() as u64),
            callbacks: RwLock::new((0..).zip(callbacks).collect()),
            subscribers: Mutex::new(Vec::new()),
            dropped: Arc::default(),
        }
    }

    /// Adds a callback: its number.
    pub(crate) fn on_event(&self, callback: Callback) -> u64 {
        let number = self.called.fetch_add(1, Ordering::Relaxed);
        self.callbacks.write().push((number, callback));
        number
    }

    /// [`on_event`](Self::on_event), until what is given back is dropped.
    pub(crate) fn listen(self: &Arc<Self>, callback: Callback) -> Listener {
        Listener { number: self.on_event(callback), hub: Arc::downgrade(self) }
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
            if queue.events.len() < self.capacity {
                queue.events.push_back(event);
            } else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        let end = queue.end();
        if let Courier::Caller { thread, until } = &mut queue.courier
            && *thread == thread::current().id()
        {
            // Its callback has made these.
            *until = end;
        }
    }

    /// Hands out what is queued, unless another thread is at it. The caller holds no lock. It comes back when what was
    /// queued by then is out, and what its callbacks made of that: at most as many events as may wait.
    pub(crate) fn deliver(self: &Arc<Self>) {
        let mut queue = self.queue.lock();
        if queue.events.is_empty() || !matches!(queue.courier, Courier::Nobody) {
            return;
        }
        queue.courier = Courier::Caller { thread: thread::current().id(), until: queue.end() };
        drop(queue);
        for _ in 0..self.capacity {
            match self.next() {
                Next::Event(event) => self.hand_out(&event),
                Next::None => return,
                Next::Others => break,
            }
        }
        self.hand_over();
    }

    /// Leaves what waits to a thread of its own. Where the system gives none, this one has to do.
    fn hand_over(self: &Arc<Self>) {
        {
            let mut queue = self.queue.lock();
            if queue.events.is_empty() {
                queue.courier = Courier::Nobody;
                return;
            }
            queue.courier = Courier::Own;
        }
        let hub = Arc::clone(self);
        let thread = thread::Builder::new().name("softfuse-events".to_owned()).stack_size(STACK_BYTES);
        if thread.spawn(move || hub.deliver_all()).is_err() {
            self.deliver_all();
        }
    }

    fn deliver_all(&self) {
        while let Next::Event(event) = self.next() {
            self.hand_out(&event);
        }
    }

    /// The next event for whoever hands out. Where none waits, nobody does from now on.
    fn next(&self) -> Next {
        let mut queue = self.queue.lock();
        if let Courier::Caller { until, .. } = queue.courier
            && queue.taken >= until
            && !queue.events.is_empty()
        {
            return Next::Others;
        }
        match queue.events.pop_front() {
            Some(event) => {
                queue.taken += 1;
                Next::Event(event)
            }
            None => {
                queue.courier = Courier::Nobody;
                Next::None
            }
        }
    }

    /// Tells everybody of an event. It doesn't panic, as whoever hands out would then never let go.
    fn hand_out(&self, event: &Event) {
        // A subscriber of the log is somebody's code, too.
        let _ = caught("the log", || log(event));
        // Cloned, so that a callback may add one.
        let callbacks = self.callbacks.read().clone();
        for (_, callback) in callbacks {
            let _ = caught("an event callback", || callback(event));
        }
        self.subscribers.lock().retain(|subscriber| {
            // So is the executor that is told of an event for which a task waits.
            match caught("a subscription", || subscriber.sender.try_send(event.clone())) {
                Some(Err(TrySendError::Full(_))) => {
                    subscriber.dropped.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Some(Err(TrySendError::Disconnected(_))) => false,
                Some(Ok(())) | None => true,
            }
        });
    }
}

/// What there is for whoever hands out.
enum Next {
    Event(Event),
    /// Nothing.
    None,
    /// What others have queued.
    Others,
}

impl Queue {
    /// How many events will have been taken out when nothing waits.
    fn end(&self) -> u64 {
        self.taken + self.events.len() as u64
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

#[cfg(test)]
mod tests;
