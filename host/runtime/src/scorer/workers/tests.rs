//! Whose turn it is: callers', that of answers for which nobody waits, or of what has waited too long.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

const CALLERS_WAIT_MAX: Duration = Duration::from_secs(10);
const LATE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Queues whose jobs say their names.
struct Set {
    queues: Queues,
    began: Instant,
    sender: Sender<&'static str>,
    said: Receiver<&'static str>,
}

impl Set {
    fn new() -> Self {
        let bounds = |wait_max| Bounds { jobs_max: 100, wait_max };
        let queues = Queues::new(bounds(CALLERS_WAIT_MAX), bounds(LATE_WAIT_MAX));
        let (sender, said) = channel();
        Self { queues, began: Instant::now(), sender, said }
    }

    fn job(&self, name: &'static str) -> Job {
        let sender = self.sender.clone();
        Box::new(move |_| sender.send(name).unwrap())
    }

    fn put(&mut self, lane: Lane, name: &'static str, seconds: u64) {
        let (at, job) = (self.began + Duration::from_secs(seconds), self.job(name));
        let queue = self.queues.lane(lane);
        queue.taken += 1;
        queue.jobs.push_back((at, job));
    }

    /// The next job's name, and whether it was too late for it.
    fn next(&mut self, seconds: u64) -> Option<(&'static str, bool)> {
        let (job, too_late) = self.queues.next(self.began + Duration::from_secs(seconds))?;
        // Which scorer it gets is no matter here.
        job(Err(ScorerFailure::Busy(Duration::ZERO)));
        Some((self.said.recv().unwrap(), too_late.is_some()))
    }
}

/// Callers come before what nobody waits for, and wait behind one of them in so many.
#[test]
fn callers_come_first_but_not_for_ever() {
    let mut set = Set::new();
    for _ in 0..3 {
        set.put(Lane::Late, "late", 0);
    }
    for round in 0..100 {
        // They keep coming.
        set.put(Lane::Callers, "caller", 1);
        set.put(Lane::Callers, "caller", 1);
        let is_late =
            round % (CALLERS_IN_A_ROW_MAX + 1) == CALLERS_IN_A_ROW_MAX && round < 3 * (CALLERS_IN_A_ROW_MAX + 1);
        assert_eq!(set.next(2), Some((if is_late { "late" } else { "caller" }, false)), "{round}");
    }
    assert_eq!((set.queues.late.taken, set.queues.late.jobs.len()), (0, 0));
}

/// A stream's last piece is a caller's job, and its end may be one that nobody waits for: it is never taken before.
#[test]
fn what_came_later_than_a_caller_never_overtakes_it() {
    let mut set = Set::new();
    for _ in 0..2 * CALLERS_IN_A_ROW_MAX {
        set.put(Lane::Callers, "caller", 1);
    }
    set.put(Lane::Callers, "piece", 5);
    set.put(Lane::Late, "end", 5);
    set.put(Lane::Callers, "caller", 6);
    for _ in 0..2 * CALLERS_IN_A_ROW_MAX {
        // Instances that are given back go first, and change nothing of that.
        let discarded = set.job("discarded");
        set.queues.discarded.push_back(discarded);
        assert_eq!(set.next(6), Some(("discarded", false)));
        assert_eq!(set.next(6), Some(("caller", false)));
    }
    assert_eq!([(); 3].map(|()| set.next(6).unwrap().0), ["piece", "end", "caller"]);
    assert_eq!(set.next(6), None);
}

/// What has waited too long is told so at once, however many callers there are.
#[test]
fn what_has_waited_too_long_waits_no_longer() {
    let mut set = Set::new();
    set.put(Lane::Late, "late", 0);
    set.put(Lane::Late, "later", 9);
    set.put(Lane::Callers, "impatient", 20);
    set.put(Lane::Callers, "caller", 28);
    assert_eq!(set.next(31), Some(("late", true)));
    assert_eq!(set.next(31), Some(("impatient", true)));
    assert_eq!(set.next(31), Some(("caller", false)));
    assert_eq!(set.next(31), Some(("later", false)));
    assert_eq!(set.next(31), None);
}

#[test]
fn the_end_is_told_to_all_that_wait() {
    let mut set = Set::new();
    set.put(Lane::Callers, "caller", 0);
    set.put(Lane::Late, "late", 0);
    set.queues.closed = true;
    let mut told = [set.next(0).unwrap(), set.next(0).unwrap()];
    told.sort_unstable();
    assert_eq!((told, set.next(0)), ([("caller", true), ("late", true)], None));
}
