//! Bounds components' time: a thread that moves the engines' epoch on while components run, and sleeps otherwise.
//!
//! A breaker is called far too often to wake a thread each time. So its calls only leave a mark, for one relaxed load
//! where the mark is there already; the ticker looks at it with every tick, and rests after some seconds without one, until
//! a call wakes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How often the epoch moves while components run; deadlines are this coarse.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Without a mark for so long, the ticker rests. It is over every breaker call's deadline.
const AWAKE: Duration = Duration::from_secs(10);

/// The ticker; it ends when this is dropped.
pub(crate) struct Ticker(Arc<Shared>);

struct Shared {
    /// A breaker was called since the last tick.
    mark: AtomicBool,
    /// It rests, and has to be woken.
    resting: AtomicBool,
    /// Scorers that run now.
    running: AtomicUsize,
    /// Whose epoch it moves on.
    engines: Mutex<Vec<wasmtime::Engine>>,
    stopped: Mutex<bool>,
    wake: Condvar,
}

/// While it lives, the ticker ticks.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    /// Starts the thread. Without it no deadline would be kept.
    pub(crate) fn start(engines: Vec<wasmtime::Engine>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            mark: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            engines: Mutex::new(engines),
            stopped: Mutex::new(false),
            wake: Condvar::new(),
        });
        let ticking = Arc::clone(&shared);
        thread::Builder::new().name("softfuse-ticker".to_owned()).spawn(move || ticking.run())?;
        Ok(Self(shared))
    }

    /// Moves this one's epoch on as well.
    pub(crate) fn add(&self, engine: &wasmtime::Engine) {
        self.0.engines.lock().push(engine.clone());
    }

    /// A breaker is about to be called.
    pub(crate) fn mark(&self) {
        if !self.0.mark.load(Ordering::Relaxed) {
            // In one order with the ticker's going to rest: it sees the mark, or this sees that it rests.
            self.0.mark.store(true, Ordering::SeqCst);
            self.0.wake_if_resting();
        }
    }

    /// A scorer is about to run.
    pub(crate) fn run(&self) -> Running<'_> {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        self.0.wake_if_resting();
        Running(&self.0)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.0.stopped.lock() = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn wake_if_resting(&self) {
        if self.resting.load(Ordering::SeqCst) {
            // With the lock, since the ticker may be between its last look and its waiting.
            let _stopped = self.stopped.lock();
            self.wake.notify_one();
        }
    }

    fn busy(&self) -> bool {
        self.mark.swap(false, Ordering::SeqCst) || self.running.load(Ordering::SeqCst) > 0
    }

    fn run(&self) {
        let mut marked_at = Instant::now();
        let mut stopped = self.stopped.lock();
        while !*stopped {
            if self.busy() {
                marked_at = Instant::now();
            }
            if marked_at.elapsed() > AWAKE {
                self.resting.store(true, Ordering::SeqCst);
                if !self.busy() {
                    self.wake.wait(&mut stopped);
                }
                self.resting.store(false, Ordering::SeqCst);
                marked_at = Instant::now();
            } else {
                self.wake.wait_for(&mut stopped, TICK);
            }
            for engine in self.engines.lock().iter() {
                engine.increment_epoch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ticker has gone to rest; a call that comes then is ended in time all the same.
    #[test]
    fn a_call_wakes_the_ticker() {
        let shared = Shared {
            mark: AtomicBool::new(false),
            resting: AtomicBool::new(true),
            running: AtomicUsize::new(0),
            engines: Mutex::default(),
            stopped: Mutex::new(false),
            wake: Condvar::new(),
        };
        let ticker = Ticker(Arc::new(shared));
        let waiting = Arc::clone(&ticker.0);
        let woken = thread::spawn(move || {
            let mut stopped = waiting.stopped.lock();
            // As `run` does: a last look, and then to sleep without an end.
            if !waiting.busy() {
                waiting.wake.wait(&mut stopped);
            }
        });
        ticker.mark();
        woken.join().expect("no panics");
        let _running = ticker.run();
        assert!(ticker.0.busy());
    }
}
