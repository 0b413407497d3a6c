//! Bounds components' time: a thread that moves the engines' epoch on while components run, and sleeps otherwise.
//!
//! A breaker is called far too often to wake a thread each time. So its calls only leave a mark, for one relaxed load
//! where the mark is there already; the ticker looks at it with every tick, and rests after some seconds without one. A
//! call may come just as it goes to rest; it looks again every [`REST`], so such a call's deadline is that much later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How often the epoch moves while components run; deadlines are this coarse.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Without a mark for so long, the ticker rests. It is over every breaker call's deadline.
const AWAKE: Duration = Duration::from_secs(10);
/// How often it looks for marks while it rests.
const REST: Duration = Duration::from_secs(1);

/// The ticker; it ends when this is dropped.
pub(crate) struct Ticker(Arc<Shared>);

struct Shared {
    /// A breaker was called since the last tick.
    mark: AtomicBool,
    /// It rests, and has to be woken.
    resting: AtomicBool,
    /// Scorers that run now.
    running: AtomicUsize,
    stopped: Mutex<bool>,
    wake: Condvar,
}

/// While it lives, the ticker ticks.
pub(crate) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

impl Ticker {
    pub(crate) fn start(engines: Vec<wasmtime::Engine>) -> Self {
        let shared = Arc::new(Shared {
            mark: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            stopped: Mutex::new(false),
            wake: Condvar::new(),
        });
        let ticking = Arc::clone(&shared);
        let thread = thread::Builder::new().name("softfuse-ticker".to_owned()).spawn(move || ticking.run(&engines));
        if let Err(error) = thread {
            // Nothing else fails by it: components then run without a bound on their time.
            tracing::error!(%error, "no thread for the ticker: components' deadlines are not kept");
        }
        Self(shared)
    }

    /// A breaker is about to be called.
    pub(crate) fn mark(&self) {
        if !self.0.mark.load(Ordering::Relaxed) {
            self.0.mark.store(true, Ordering::Relaxed);
            if self.0.resting.load(Ordering::Relaxed) {
                self.0.wake.notify_one();
            }
        }
    }

    /// A scorer is about to run.
    pub(crate) fn run(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        if self.0.resting.load(Ordering::Acquire) {
            self.0.wake.notify_one();
        }
        Running(Arc::clone(&self.0))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.0.stopped.lock() = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn run(&self, engines: &[wasmtime::Engine]) {
        let mut marked_at = Instant::now();
        let mut stopped = self.stopped.lock();
        while !*stopped {
            let busy = self.mark.swap(false, Ordering::Relaxed) || self.running.load(Ordering::Acquire) > 0;
            if busy {
                marked_at = Instant::now();
            }
            let rest = marked_at.elapsed() > AWAKE;
            self.resting.store(rest, Ordering::Release);
            self.wake.wait_for(&mut stopped, if rest { REST } else { TICK });
            for engine in engines {
                engine.increment_epoch();
            }
        }
    }
}
