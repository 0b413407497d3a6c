//! What is kept, what isn't, and in which order it is taken.
#![cfg(not(loom))]

use softfuse_lease::{Admission, Batch, Entry, Lease, Owner, Terms, thread_number};

const PERMIT: u64 = 3 << 32;

/// Terms that ask for nothing but how many successes there are.
fn terms() -> Terms<'static> {
    Terms { permit: PERMIT, outcomes_max: 256, tag: 1, ..Terms::default() }
}

fn success(latency: u64) -> Entry {
    Entry::Success { latency, score: None, pending: false }
}

fn scored(score: i64) -> Entry {
    Entry::Success { latency: 1, score: Some(score), pending: false }
}

fn opened(terms: &Terms<'_>) -> (Lease, Owner) {
    let (lease, mut owner) = Lease::new(2);
    lease.open(&mut owner, terms);
    (lease, owner)
}

fn taken(lease: &Lease, owner: &mut Owner) -> Batch {
    let mut batch = Batch::default();
    lease.take(owner, &mut batch);
    batch
}

#[test]
fn a_lease_grants_nothing_until_it_is_opened() {
    let (lease, mut owner) = Lease::new(2);
    assert_eq!(lease.admit(1), Admission::Ask);
    assert_eq!(lease.keep(0, 1, success(1)), None);
    lease.open(&mut owner, &Terms { outcomes_max: 0, ..terms() });
    // Admitted, and recorded at once.
    assert_eq!((lease.admit(1), lease.keep(PERMIT, 1, success(1))), (Admission::Admitted(PERMIT), None));
    assert_eq!(lease.part().admitted(1), Some(PERMIT));
    assert!(!lease.is_waiting());
}

#[test]
fn what_is_not_benign_is_not_kept() {
    let (lease, mut owner) = opened(&Terms { until: Some(100), latency_max: Some(10), details: true, ..terms() });
    assert_eq!(lease.keep(PERMIT, 99, success(10)), Some(1));
    assert_eq!(lease.keep(PERMIT - 1, 99, success(1)), None);
    assert_eq!(lease.keep(PERMIT, 99, success(11)), None);
    assert_eq!(lease.keep(PERMIT, 100, success(1)), None);
    assert_eq!(lease.latest(), 99);
    // Time never runs backwards, once it was seen.
    lease.note(100);
    assert_eq!(lease.keep(PERMIT, 50, success(1)), None);
    assert!(lease.is_waiting());
    let goes_together = |owner: &Owner, at: u64, latency| lease.goes_together(owner, PERMIT, at, latency);
    assert!(goes_together(&owner, 99, 10) && !goes_together(&owner, 100, 10) && !goes_together(&owner, 99, 11));
    let batch = taken(&lease, &mut owner);
    assert_eq!((&batch.settled_at[..], &batch.latencies[..]), (&[99][..], &[10][..]));
    assert_eq!((batch.successes, batch.lates, &batch.scores[..]), (1, 0, &[][..]));
    assert_eq!(lease.latest(), 100);
    assert!(!lease.is_waiting() && taken(&lease, &mut owner).is_empty());
}

#[test]
fn a_missing_score_counts_as_the_policy_says_unless_it_is_owed() {
    let sums_min = [0, 0, 0];
    let (lease, mut owner) =
        opened(&Terms { missing_score: Some(-1), score_sums_min: Some(&sums_min), scores_last: 3, ..terms() });
    assert_eq!(lease.keep(PERMIT, 1, success(1)), None);
    let pending = Entry::Success { latency: 1, score: None, pending: true };
    assert_eq!(lease.keep(PERMIT, 2, pending), Some(1));
    assert_eq!(lease.keep(PERMIT, 3, Entry::Late(-1)), None);
    assert_eq!(lease.keep(PERMIT, 4, scored(1)), Some(1));
    assert_eq!(lease.keep(PERMIT, 5, success(1)), Some(1));
    assert_eq!(lease.keep(PERMIT, 6, Entry::Late(7)), Some(1));
    // No more scores than there are bounds.
    assert_eq!(lease.keep(PERMIT, 7, Entry::Late(7)), None);
    assert_eq!(lease.keep(PERMIT, 8, success(1)), None);
    assert_eq!(lease.keep(PERMIT, 9, pending), Some(1));
    let mut batch = taken(&lease, &mut owner);
    assert_eq!((batch.successes, batch.lates, &batch.scores[..]), (4, 1, &[1, -1, 7][..]));
    assert!(batch.latencies.is_empty() && batch.settled_at.is_empty());
    batch.append(success(1), 10);
    batch.append(pending, 11);
    assert_eq!((batch.successes, &batch.scores[..]), (6, &[1, -1, 7, -1][..]));
}

#[test]
fn scores_of_which_nothing_is_asked_are_not_kept() {
    let (lease, mut owner) = opened(&terms());
    assert_eq!(lease.keep(PERMIT, 1, scored(-5)), Some(1));
    assert_eq!(lease.keep(PERMIT, 2, Entry::Late(i64::MIN)), Some(1));
    let batch = taken(&lease, &mut owner);
    assert_eq!((batch.successes, batch.scores.len()), (1, 0));
}

/// The bound on the last so many scores, tried against what it says, in a ring that goes round several times.
#[test]
fn a_window_of_scores_rolls_on() {
    for window in [1, 2, 3, 20, 255, 256] {
        let least = 10 * window as i64;
        let sums_min: Vec<i64> = (0..window).map(|place| if place + 1 == window { least } else { i64::MIN }).collect();
        let terms = Terms {
            score_sums_min: Some(&sums_min),
            scores_roll: true,
            scores_last: window as u32,
            outcomes_max: 5_000,
            ..terms()
        };
        let (lease, mut owner) = opened(&terms);
        let mut kept: Vec<i64> = Vec::new();
        for call in 0..2_000i64 {
            let score = 10 + call * 7 % 11 - 5;
            let from = (kept.len() + 1).saturating_sub(window);
            let sum = kept[from..].iter().sum::<i64>() + score;
            let expected = kept.len() + 1 < window || sum >= least;
            assert_eq!(lease.keep(PERMIT, call as u64, scored(score)).is_some(), expected, "{window} {call}");
            kept.extend(expected.then_some(score));
        }
        let batch = taken(&lease, &mut owner);
        assert_eq!(batch.successes as usize, kept.len());
        assert_eq!(batch.scores, kept[kept.len() - window..]);
        assert!(kept.len() > 1_000 && kept.len() < 2_000, "{} kept", kept.len());
    }
}

#[test]
fn scores_whose_sum_overflows_are_still_compared() {
    // The largest that the contract knows, for longer than a sum of them fits.
    let largest = 1_000_000_000_000_000;
    let sums_min = [i64::MIN, 2 * largest];
    let terms =
        Terms { score_sums_min: Some(&sums_min), scores_roll: true, scores_last: 2, outcomes_max: 60_000, ..terms() };
    let (lease, mut owner) = opened(&terms);
    assert!((0..20_000).all(|at| lease.keep(PERMIT, at, scored(largest)).is_some()));
    assert_eq!(lease.keep(PERMIT, 20_000, scored(largest - 1)), None);
    assert_eq!(taken(&lease, &mut owner).successes, 20_000);
}

#[test]
fn one_thread_may_have_all_that_there_is_room_for() {
    let sums_min = [i64::MIN];
    for granted in [1, 2, 5, 17, 63, 64, 1_000, 65_535] {
        for (scores, details, most) in
            [(false, false, 65_535), (false, true, 64), (true, false, 65_535), (true, true, 256)]
        {
            let terms = Terms {
                outcomes_max: granted,
                details,
                score_sums_min: scores.then_some(&sums_min[..]),
                scores_roll: true,
                scores_last: u32::from(scores),
                ..terms()
            };
            let (lease, mut owner) = opened(&terms);
            let kept = (0..70_000).filter(|at| lease.keep(PERMIT, *at, scored(1)).is_some()).count();
            assert_eq!(kept as u32, granted.min(most), "{granted}, scores {scores}, details {details}");
            let batch = taken(&lease, &mut owner);
            assert_eq!(batch.successes, granted.min(most));
            assert_eq!(batch.latencies.len(), if details { kept } else { 0 });
            assert_eq!(batch.scores.len(), usize::from(scores));
        }
    }
}

#[test]
fn threads_that_live_have_numbers_of_their_own() {
    let own = thread_number().expect("it isn't ending");
    let numbers = || std::thread::spawn(|| (thread_number(), thread_number()));
    let threads: Vec<_> = (0..8).map(|_| numbers()).collect();
    for (first, second) in threads.into_iter().map(|thread| thread.join().expect("no panics")) {
        assert_eq!(first, second);
        assert_ne!(first, Some(own));
    }
    // Numbers are given back: 100 threads, one after the other, don't need 100 of them.
    let mut seen: Vec<_> = (0..100).map(|_| numbers().join().expect("no panics").0).collect();
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() < 50, "{seen:?}");
}

#[test]
fn refusals_are_counted_and_end_in_time() {
    let (lease, mut owner) = opened(&terms());
    lease.refuse(&mut owner, 10);
    assert_eq!(lease.part().admitted(8), None);
    assert_eq!(lease.admit(8), Admission::Refused { now: 8 });
    assert_eq!(lease.admit(3), Admission::Refused { now: 8 });
    assert_eq!(lease.admit(10), Admission::Ask);
    // The time that counts is the latest that was seen.
    assert_eq!(lease.admit(9), Admission::Refused { now: 9 });
    lease.note(10);
    assert_eq!(lease.admit(9), Admission::Ask);
    assert!(lease.is_waiting());
    assert_eq!(taken(&lease, &mut owner).refused, 3);
    lease.ask(&mut owner);
    assert_eq!(lease.admit(0), Admission::Ask);
}

/// Many threads, many leases: nothing is lost, nothing is invented, each thread's own order is kept.
#[test]
fn nothing_is_lost_among_threads() {
    const THREADS: u64 = 4;
    const EACH: u64 = 50_000;
    let sums = vec![i64::MIN; 256];
    for (scores, details) in [(false, true), (true, false), (true, true)] {
        let terms = Terms {
            score_sums_min: scores.then_some(&sums[..]),
            scores_last: if scores { 256 } else { 0 },
            outcomes_max: 100,
            details,
            ..terms()
        };
        let (lease, owner) = opened(&terms);
        let component = std::sync::Mutex::new((owner, Batch::default(), Vec::new(), 0u64));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (lease, component, terms) = (&lease, &component, &terms);
                scope.spawn(move || {
                    for number in 0..EACH {
                        // What tells it: the thread, and its place.
                        let id = thread << 32 | number;
                        let entry = Entry::Success { latency: id, score: Some(id as i64), pending: false };
                        if lease.keep(PERMIT, number, entry).is_none() {
                            let mut locked = component.lock().expect("no panics");
                            let (owner, batch, recorded, leases) = &mut *locked;
                            lease.take(owner, batch);
                            batch.append(entry, number);
                            let scores = batch.scores.iter().map(|score| *score as u64).collect();
                            recorded.extend(if details { batch.latencies.clone() } else { scores });
                            *leases += 1;
                            lease.open(owner, terms);
                        }
                    }
                });
            }
        });
        let (mut owner, mut batch, mut recorded, leases) = component.into_inner().expect("no panics");
        lease.take(&mut owner, &mut batch);
        recorded.extend(if details {
            batch.latencies
        } else {
            batch.scores.iter().map(|score| *score as u64).collect()
        });
        for thread in 0..THREADS {
            let own: Vec<u64> = recorded.iter().filter(|id| *id >> 32 == thread).map(|id| id & 0xffff_ffff).collect();
            assert_eq!(own.len() as u64, EACH);
            assert!(own.is_sorted(), "a thread's own order");
        }
        assert!(leases < THREADS * EACH / 4, "{leases} leases: nearly nothing was kept");
    }
}

/// The same where nothing but the number of successes is asked for.
#[test]
fn nothing_is_counted_twice_among_threads() {
    const THREADS: u64 = 4;
    const EACH: u64 = 200_000;
    let terms = Terms { outcomes_max: 1_000, ..terms() };
    let (lease, owner) = opened(&terms);
    let component = std::sync::Mutex::new((owner, Batch::default(), 0u64));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..EACH {
                    if lease.keep(PERMIT, number, success(1)).is_none() {
                        let mut locked = component.lock().expect("no panics");
                        let (owner, batch, recorded) = &mut *locked;
                        lease.take(owner, batch);
                        assert!(batch.successes <= 1_000);
                        *recorded += u64::from(batch.successes) + 1;
                        lease.open(owner, &terms);
                    }
                }
            });
        }
    });
    let (mut owner, mut batch, recorded) = component.into_inner().expect("no panics");
    lease.take(&mut owner, &mut batch);
    assert_eq!(recorded + u64::from(batch.successes), THREADS * EACH);
}
