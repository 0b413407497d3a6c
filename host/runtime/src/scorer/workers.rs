//! Threads that score, and the two queues before them: callers who wait come first, answers that are scored beside the call
//! after them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Scorer, ScorerFailure, thread};
use crate::caught::caught;

/// Something to do with the scorer, or to leave undone, for the reason that it is handed in the scorer's place. It runs in
/// any case, so that what is owed is always paid.
pub(super) type Job = Box<dyn FnOnce(Result<&Scorer, ScorerFailure>) + Send>;

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Somebody waits for it.
    Callers,
    /// Nobody does.
    Late,
}

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Jobs that may wait.
    pub(super) jobs_max: usize,
    /// How long each may.
    pub(super) wait_max: Duration,
}

/// The queues, and the threads that serve them. Dropped, the threads end when they have handed back what waits.
pub(super) struct Workers(Arc<Shared>);

struct Shared {
    scorer: Scorer,
    queues: Mutex<Queues>,
    filled: Condvar,
}

struct Queues {
    callers: Queue,
    late: Queue,
    closed: bool,
}

struct Queue {
    jobs: VecDeque<(Instant, Job)>,
    /// Jobs that wait, and places that are reserved for some to come.
    taken: usize,
    bounds: Bounds,
}

/// A place in a queue. Dropped unused, it is free again.
pub(super) struct Place {
    shared: Arc<Shared>,
    lane: Lane,
    used: bool,
}

impl Workers {
    /// Starts the threads.
    pub(super) fn start(scorer: &Scorer, threads: usize, callers: Bounds, late: Bounds) -> io::Result<Self> {
        let queue = |bounds| Queue { jobs: VecDeque::new(), taken: 0, bounds };
        let queues = Queues { callers: queue(callers), late: queue(late), closed: false };
        let shared = Arc::new(Shared { scorer: scorer.clone(), queues: Mutex::new(queues), filled: Condvar::new() });
        // Where the system gives some threads and not the others, those end when this is dropped.
        let workers = Self(shared);
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&workers.0);
            thread::start(format!("softfuse-scorer-{number}"), move || shared.work())?;
        }
        Ok(workers)
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        let queues = self.0.queues.lock();
        queues.callers.jobs.len() + queues.late.jobs.len()
    }

    /// A place, or what a job that gets none is told.
    pub(super) fn reserve(&self, lane: Lane) -> Result<Place, ScorerFailure> {
        let mut queues = self.0.queues.lock();
        let queue = queues.lane(lane);
        if queue.taken >= queue.bounds.jobs_max.max(1) {
            return Err(ScorerFailure::Busy(queue.bounds.wait_max));
        }
        queue.taken += 1;
        Ok(Place { shared: Arc::clone(&self.0), lane, used: false })
    }

    /// Has something dropped on one of the threads, since it may take its time. Its number is bounded by who holds it.
    pub(super) fn discard(&self, what: impl Send + 'static) {
        let job: Job = Box::new(move |_| drop(what));
        let mut queues = self.0.queues.lock();
        // It frees what others wait for.
        queues.callers.jobs.push_front((Instant::now(), job));
        queues.callers.taken += 1;
        drop(queues);
        self.0.filled.notify_one();
    }
}

impl Place {
    /// Puts a job into the place.
    pub(super) fn fill(mut self, job: Job) {
        self.used = true;
        self.shared.queues.lock().lane(self.lane).jobs.push_back((Instant::now(), job));
        self.shared.filled.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.used {
            self.shared.queues.lock().lane(self.lane).taken -= 1;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.queues.lock().closed = true;
        self.0.filled.notify_all();
    }
}

impl Queues {
    fn lane(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Callers => &mut self.callers,
            Lane::Late => &mut self.late,
        }
    }

    /// The next job, and whether it is too late for it.
    fn next(&mut self) -> Option<(Job, Option<ScorerFailure>)> {
        let queue = if self.callers.jobs.is_empty() { &mut self.late } else { &mut self.callers };
        let (queued_at, job) = queue.jobs.pop_front()?;
        queue.taken -= 1;
        let wait_max = queue.bounds.wait_max;
        let late = self.closed || queued_at.elapsed() > wait_max;
        Some((job, late.then_some(ScorerFailure::Busy(wait_max))))
    }
}

impl Shared {
    /// A thread's life. No job's panic ends it.
    fn work(&self) {
        loop {
            let mut queues = self.queues.lock();
            let (job, too_late) = loop {
                if let Some(next) = queues.next() {
                    break next;
                }
                if queues.closed {
                    return;
                }
                self.filled.wait(&mut queues);
            };
            drop(queues);
            caught("scoring", || job(too_late.map_or(Ok(&self.scorer), Err)));
        }
    }
}
