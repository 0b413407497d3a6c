//! Threads that score, and the two queues before them: callers who wait come first, answers that are scored beside the call
//! after them, but for one now and then, so that callers who keep coming don't put them off for ever.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Scorer, ScorerFailure, thread};
use crate::caught::caught;

/// How many callers' jobs are taken in a row at most while an answer waits that was there before the next caller.
const CALLERS_IN_A_ROW_MAX: u32 = 8;

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
    /// What is to be dropped. It comes before all, since it frees what others wait for.
    discarded: VecDeque<Job>,
    /// Callers' jobs since the last that nobody waits for.
    callers_in_a_row: u32,
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
        let queues = Mutex::new(Queues::new(callers, late));
        let shared = Arc::new(Shared { scorer: scorer.clone(), queues, filled: Condvar::new() });
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
        self.0.queues.lock().discarded.push_back(Box::new(move |_| drop(what)));
        self.0.filled.notify_one();
    }
}

impl Place {
    /// Puts a job into the place.
    pub(super) fn fill(mut self, job: Job) {
        self.used = true;
        let mut queues = self.shared.queues.lock();
        // Read under the lock, so that each queue is in the order of its times.
        queues.lane(self.lane).jobs.push_back((Instant::now(), job));
        drop(queues);
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
    fn new(callers: Bounds, late: Bounds) -> Self {
        let queue = |bounds| Queue { jobs: VecDeque::new(), taken: 0, bounds };
        Self {
            callers: queue(callers),
            late: queue(late),
            discarded: VecDeque::new(),
            callers_in_a_row: 0,
            closed: false,
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Callers => &mut self.callers,
            Lane::Late => &mut self.late,
        }
    }

    /// The next job, and whether it is too late for it.
    fn next(&mut self, now: Instant) -> Option<(Job, Option<ScorerFailure>)> {
        if let Some(job) = self.discarded.pop_front() {
            return Some((job, None));
        }
        // An answer that has waited too long costs next to nothing: its score is reported as missing.
        if (self.closed || self.late.is_overdue(now))
            && let Some(job) = self.late.pop()
        {
            return Some((job, Some(self.late.busy())));
        }
        let lane = if self.is_lates_turn() { Lane::Late } else { Lane::Callers };
        self.callers_in_a_row = if lane == Lane::Late { 0 } else { self.callers_in_a_row.saturating_add(1) };
        let closed = self.closed;
        let queue = self.lane(lane);
        let too_late = (closed || queue.is_overdue(now)).then(|| queue.busy());
        Some((queue.pop()?, too_late))
    }

    /// Whether an answer that nobody waits for is next. Before a caller, it is so only if it came before that one as well:
    /// the end of a stream never overtakes its last piece, for which it would wait on the only thread.
    fn is_lates_turn(&self) -> bool {
        match (self.callers.jobs.front(), self.late.jobs.front()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((caller, _)), Some((late, _))) => self.callers_in_a_row >= CALLERS_IN_A_ROW_MAX && late < caller,
        }
    }
}

impl Queue {
    /// Whether the job that has waited longest has waited for too long.
    fn is_overdue(&self, now: Instant) -> bool {
        self.jobs.front().is_some_and(|(queued_at, _)| now.saturating_duration_since(*queued_at) > self.bounds.wait_max)
    }

    fn busy(&self) -> ScorerFailure {
        ScorerFailure::Busy(self.bounds.wait_max)
    }

    fn pop(&mut self) -> Option<Job> {
        let (_, job) = self.jobs.pop_front()?;
        self.taken -= 1;
        Some(job)
    }
}

impl Shared {
    /// A thread's life. No job's panic ends it.
    fn work(&self) {
        loop {
            let mut queues = self.queues.lock();
            let (job, too_late) = loop {
                if let Some(next) = queues.next(Instant::now()) {
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

#[cfg(test)]
mod tests;
