//! A bulkhead: so many calls of one operation at once, so many waiting, each for so long, so that one slow operation can't
//! take all that a process has.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_timer::Delay;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::coop::unconstrained;

/// Calls at once at most, and callers that wait at most: beyond, a bulkhead bounds nothing.
const CALLERS_MAX: usize = 1_000_000;
/// The longest wait in the queue.
const QUEUE_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How an operation is bounded. The three presets have the bounds of the breakers for LLMs that came before Softfuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkheadSettings {
    /// Calls at once: 1 to 1,000,000.
    pub concurrent_max: usize,
    /// Callers that wait for a place: up to 1,000,000. 0: nobody waits.
    pub queue_max: usize,
    /// How long each of them waits: up to 24 hours.
    pub queue_timeout: Duration,
}

impl BulkheadSettings {
    /// For chat completions: 10 at once, 100 waiting for 30 s.
    pub const CHAT: Self = Self { concurrent_max: 10, queue_max: 100, queue_timeout: Duration::from_secs(30) };
    /// For embeddings, which take less long: 20 at once, 100 waiting for 10 s.
    pub const EMBEDDINGS: Self = Self { concurrent_max: 20, queue_max: 100, queue_timeout: Duration::from_secs(10) };
    /// For tools: 5 at once, 100 waiting for 30 s.
    pub const TOOLS: Self = Self { concurrent_max: 5, queue_max: 100, queue_timeout: Duration::from_secs(30) };
}

/// Settings that no bulkhead can have: the key, its value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bulkhead `{bulkhead}`: `{key}` is {value}, and may be {allowed}")]
pub struct InvalidBulkhead {
    /// The bulkhead's name.
    pub bulkhead: Arc<str>,
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What would be right.
    pub allowed: &'static str,
}

/// Why a caller got no place. It is no outcome of any breaker, since nothing was called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BulkheadError {
    /// All places are taken, and no further caller may wait.
    #[error(
        "bulkhead `{bulkhead}` is full: it takes {concurrent_max} calls at once, and {waiting} of at most {queue_max} \
         callers wait"
    )]
    Full {
        /// The bulkhead's name.
        bulkhead: Arc<str>,
        /// Calls at once at most.
        concurrent_max: usize,
        /// Callers that were waiting.
        waiting: usize,
        /// Callers that may wait.
        queue_max: usize,
    },
    /// The caller waited in the queue, and no place came in time.
    #[error("bulkhead `{bulkhead}`: no place within {waited:?}; it takes {concurrent_max} calls at once")]
    TimedOut {
        /// The bulkhead's name.
        bulkhead: Arc<str>,
        /// Calls at once at most.
        concurrent_max: usize,
        /// How long the caller was to wait.
        waited: Duration,
    },
}

/// What goes on in a bulkhead, and what went on since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BulkheadCounts {
    /// Places that are taken. One that was handed to a waiting caller counts from then on, though the caller may not have
    /// woken up yet, and is among those that wait as well.
    pub in_use: usize,
    /// Callers that wait.
    pub waiting: usize,
    /// Callers that were refused, since it was full.
    pub refused: u64,
    /// Callers that waited in vain.
    pub timed_out: u64,
}

/// Bounds how many calls of one operation are made at once. Cheap to clone; all clones are one bulkhead.
///
/// It stands outside the breaker: take a place first, then the breaker's permit. So waiting is no latency of the service,
/// no probe is kept while its caller waits, and a refusal of the bulkhead is no outcome. Who comes first is served first,
/// threads and tasks in one queue.
///
/// ```
/// use softfuse::{Bulkhead, BulkheadSettings, Registry};
///
/// let registry = Registry::new()?;
/// let breaker = registry.breaker("llm", &registry.policy("example", "trip_on = { consecutive_failures = 5 }")?)?;
/// let bulkhead = Bulkhead::new("chat", BulkheadSettings::CHAT)?;
///
/// let place = bulkhead.enter()?; // `enter_async().await` in a task.
/// let answer = breaker.call(|_| Ok::<_, std::io::Error>("Paris"))?;
/// drop(place); // Or at the end of the block.
/// assert_eq!((answer, bulkhead.counts().in_use), ("Paris", 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Bulkhead(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    settings: BulkheadSettings,
    /// Hands places out in the order in which they were asked for; nobody overtakes who waits.
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    refused: AtomicU64,
    timed_out: AtomicU64,
}

/// The right to one of the calls that a bulkhead allows at once. The place is free when this is dropped, by a panic too.
#[must_use = "a place that is dropped is free again"]
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Bulkhead {
    /// A bulkhead of this name, which stands in its errors.
    ///
    /// # Errors
    /// For settings out of their ranges.
    pub fn new(name: &str, settings: BulkheadSettings) -> Result<Self, InvalidBulkhead> {
        let BulkheadSettings { concurrent_max, queue_max, queue_timeout } = settings;
        let name: Arc<str> = name.into();
        let invalid = |key, value, allowed| InvalidBulkhead { bulkhead: Arc::clone(&name), key, value, allowed };
        if !(1..=CALLERS_MAX).contains(&concurrent_max) {
            return Err(invalid("concurrent_max", concurrent_max.to_string(), "1 to 1000000"));
        }
        if queue_max > CALLERS_MAX {
            return Err(invalid("queue_max", queue_max.to_string(), "0 to 1000000"));
        }
        if queue_timeout > QUEUE_TIMEOUT_MAX {
            return Err(invalid("queue_timeout", format!("{queue_timeout:?}"), "24 hours at most"));
        }
        Ok(Self(Arc::new(Inner {
            name,
            settings,
            places: Arc::new(Semaphore::new(concurrent_max)),
            waiting: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
        })))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Its bounds.
    #[must_use]
    pub fn settings(&self) -> &BulkheadSettings {
        &self.0.settings
    }

    /// What goes on in it. Read one after the other while callers come and go, so they need not fit together exactly.
    #[must_use]
    pub fn counts(&self) -> BulkheadCounts {
        let Inner { settings, places, waiting, refused, timed_out, .. } = &*self.0;
        BulkheadCounts {
            in_use: settings.concurrent_max.saturating_sub(places.available_permits()),
            waiting: waiting.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            timed_out: timed_out.load(Ordering::Relaxed),
        }
    }

    /// Takes a place if one is free and nobody waits for it.
    ///
    /// # Errors
    /// [`BulkheadError::Full`].
    pub fn try_enter(&self) -> Result<Place, BulkheadError> {
        self.free_place().ok_or_else(|| self.full(self.0.waiting.load(Ordering::Relaxed)))
    }

    /// Takes a place, and blocks the thread for as long as the settings say where none is free. In a task,
    /// [`enter_async`](Self::enter_async) is right, since a thread that blocks serves no other task.
    ///
    /// # Errors
    /// [`BulkheadError::Full`] at once, [`BulkheadError::TimedOut`] later.
    pub fn enter(&self) -> Result<Place, BulkheadError> {
        self.enter_timeout(self.0.settings.queue_timeout)
    }

    /// [`enter`](Self::enter), waiting for up to `queue_timeout`, 24 hours at most.
    ///
    /// # Errors
    /// [`BulkheadError::Full`] at once, [`BulkheadError::TimedOut`] later.
    pub fn enter_timeout(&self, queue_timeout: Duration) -> Result<Place, BulkheadError> {
        pollster::block_on(self.enter_timeout_async(queue_timeout))
    }

    /// Takes a place, and waits for one for as long as the settings say where none is free. It takes its place in the queue
    /// when it is first polled, and leaves it when it is dropped. Any executor will do.
    ///
    /// # Errors
    /// [`BulkheadError::Full`] at once, [`BulkheadError::TimedOut`] later.
    pub async fn enter_async(&self) -> Result<Place, BulkheadError> {
        self.enter_timeout_async(self.0.settings.queue_timeout).await
    }

    /// [`enter_async`](Self::enter_async), waiting for up to `queue_timeout`, 24 hours at most.
    ///
    /// # Errors
    /// [`BulkheadError::Full`] at once, [`BulkheadError::TimedOut`] later.
    pub async fn enter_timeout_async(&self, queue_timeout: Duration) -> Result<Place, BulkheadError> {
        if let Some(place) = self.free_place() {
            return Ok(place);
        }
        let Inner { name, settings, places, timed_out, .. } = &*self.0;
        let waited = queue_timeout.min(QUEUE_TIMEOUT_MAX);
        let _waiting = Waiting::begin(&self.0).map_err(|waiting| self.full(waiting))?;
        // Unconstrained: a task that has used up its share of tokio's would be woken by its runtime's thread alone, which may
        // be the one that blocks here.
        let mut acquire = pin!(unconstrained(Arc::clone(places).acquire_owned()));
        let mut timer = None;
        let acquired = poll_fn(|cx| {
            // The place first: it may have come at the last moment. It is never refused, since nobody closes the semaphore.
            if let Poll::Ready(acquired) = acquire.as_mut().poll(cx) {
                return Poll::Ready(acquired.ok());
            }
            if waited.is_zero() {
                return Poll::Ready(None);
            }
            let timer = timer.get_or_insert_with(|| Delay::new(waited));
            Pin::new(timer).poll(cx).map(|()| None)
        });
        if let Some(permit) = acquired.await {
            return Ok(Place { _permit: permit });
        }
        timed_out.fetch_add(1, Ordering::Relaxed);
        let (bulkhead, concurrent_max) = (Arc::clone(name), settings.concurrent_max);
        Err(BulkheadError::TimedOut { bulkhead, concurrent_max, waited })
    }

    fn free_place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        Some(Place { _permit: permit })
    }

    #[cold]
    fn full(&self, waiting: usize) -> BulkheadError {
        let Inner { name, settings: BulkheadSettings { concurrent_max, queue_max, .. }, refused, .. } = &*self.0;
        refused.fetch_add(1, Ordering::Relaxed);
        let bulkhead = Arc::clone(name);
        BulkheadError::Full { bulkhead, concurrent_max: *concurrent_max, waiting, queue_max: *queue_max }
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkhead").field("name", self.name()).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// A caller's place in the queue, which it leaves however it goes.
struct Waiting<'b>(&'b Inner);

impl<'b> Waiting<'b> {
    /// Counts one more in; else how many wait.
    fn begin(inner: &'b Inner) -> Result<Self, usize> {
        let more = |waiting: usize| (waiting < inner.settings.queue_max).then_some(waiting + 1);
        inner.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map(|_| Self(inner))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
