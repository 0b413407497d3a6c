//! Every interleaving of a few threads, tried by a model checker: `RUSTFLAGS="--cfg loom" cargo test -p softfuse-lease --release`.
//!
//! Whatever the order: what was kept is taken once, what wasn't kept is never taken, no more is kept than was granted, and
//! after an end nothing is kept under old terms.
#![cfg(loom)]

use loom::sync::{Arc, Mutex};
use loom::thread;
use softfuse_lease::{Admission, Batch, Entry, Lease, Owner, Terms, set_thread_number};

const PERMIT: u64 = 7 << 32;

/// Terms that ask for each success's details, or for scores with these bounds.
fn terms(outcomes_max: u32, score_sums_min: Option<&[i64]>) -> Terms<'_> {
    let (scores_last, details) = (if score_sums_min.is_some() { 4 } else { 0 }, score_sums_min.is_none());
    Terms { permit: PERMIT, outcomes_max, score_sums_min, scores_last, details, tag: 3, ..Terms::default() }
}

/// Terms that ask for nothing but how many successes there are.
fn counted(outcomes_max: u32) -> Terms<'static> {
    Terms { permit: PERMIT, outcomes_max, tag: 3, ..Terms::default() }
}

fn scored(score: i64) -> Entry {
    Entry::Success { latency: 1, score: Some(score), pending: false }
}

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // More switches than these between threads find nothing that fewer don't, by experience with such models.
    builder.preemption_bound = Some(3);
    builder.check(check);
}

fn opened(stripes: usize, terms: &Terms<'_>) -> (Arc<Lease>, Owner) {
    let (lease, mut owner) = Lease::new(stripes);
    lease.open(&mut owner, terms);
    (Arc::new(lease), owner)
}

/// Threads that keep one outcome each, of these scores, with their number for a latency; the numbers of those that did.
fn keepers(lease: &Arc<Lease>, scores: &'static [i64]) -> Vec<thread::JoinHandle<Option<u64>>> {
    let keeper = |(number, score): (usize, &'static i64)| {
        let lease = Arc::clone(lease);
        thread::spawn(move || {
            set_thread_number(number);
            let latency = number as u64;
            let kept = lease.keep(PERMIT, 1, Entry::Success { latency, score: Some(*score), pending: false });
            assert!(kept.is_none_or(|tag| tag == 3));
            kept.map(|_| latency)
        })
    };
    scores.iter().enumerate().map(keeper).collect()
}

fn joined(threads: Vec<thread::JoinHandle<Option<u64>>>) -> Vec<u64> {
    threads.into_iter().filter_map(|thread| thread.join().expect("no panics")).collect()
}

#[test]
fn what_was_kept_is_taken_once() {
    model(|| {
        let (lease, mut owner) = opened(2, &terms(2, None));
        let threads = keepers(&lease, &[10, 20]);
        let mut batch = Batch::default();
        lease.take(&mut owner, &mut batch);
        let mut taken = batch.latencies.clone();
        // What comes after the taking isn't kept.
        lease.take(&mut owner, &mut batch);
        assert!(batch.is_empty());
        let mut kept = joined(threads);
        lease.take(&mut owner, &mut batch);
        assert!(batch.is_empty());
        taken.sort_unstable();
        kept.sort_unstable();
        assert_eq!(taken, kept);
    });
}

/// The same where successes are only counted, by threads of one stripe and of two.
#[test]
fn what_was_counted_is_taken_once() {
    for stripes in [1, 2] {
        model(move || {
            let (lease, mut owner) = opened(stripes, &counted(3));
            let threads = keepers(&lease, &[10, 20]);
            let mut batch = Batch::default();
            lease.take(&mut owner, &mut batch);
            let taken = batch.successes;
            let kept = joined(threads);
            assert_eq!(taken, kept.len() as u32);
            lease.take(&mut owner, &mut batch);
            assert!(batch.is_empty());
        });
    }
}

/// A pool that is opened anew while a thread draws from it gives no more than it has, and what is kept under the second
/// lease is taken with it.
#[test]
fn a_pool_that_is_opened_anew_gives_no_more_than_it_has() {
    model(|| {
        let (lease, mut owner) = opened(1, &counted(1));
        let keeper = {
            let lease = Arc::clone(&lease);
            thread::spawn(move || [1, 2].map(|at| u32::from(lease.keep(PERMIT, at, scored(1)).is_some())).iter().sum())
        };
        let mut batch = Batch::default();
        lease.take(&mut owner, &mut batch);
        let first = batch.successes;
        lease.open(&mut owner, &counted(1));
        let kept: u32 = keeper.join().expect("no panics");
        lease.take(&mut owner, &mut batch);
        assert!(first <= 1 && batch.successes <= 1);
        assert_eq!(first + batch.successes, kept);
    });
}

/// What a thread keeps while one lease ends and the next is opened is taken with one of them: of successes that are only
/// counted, and of scores of which nothing else is to be known. Once more than one place was allowed for, those take few steps.
#[test]
fn what_is_kept_between_two_leases_is_taken_with_one_of_them() {
    let scores = Terms { scores_last: 4, ..counted(8) };
    for (terms, score) in [(counted(8), None), (counted(8), Some(5)), (scores, Some(5))] {
        model(move || {
            let (lease, mut owner) = opened(1, &terms);
            let success = Entry::Success { latency: 1, score, pending: false };
            // Places are allowed for by it.
            assert!(lease.keep(PERMIT, 1, success).is_some());
            let keeper = {
                let lease = Arc::clone(&lease);
                thread::spawn(move || u32::from(lease.keep(PERMIT, 2, success).is_some()))
            };
            let mut batch = Batch::default();
            lease.take(&mut owner, &mut batch);
            let mut taken = batch.successes;
            lease.open(&mut owner, &terms);
            let kept = 1 + keeper.join().expect("no panics");
            lease.take(&mut owner, &mut batch);
            taken += batch.successes;
            assert_eq!(taken, kept);
        });
    }
}

/// Scores whose ring goes round keep to their bound, window by window.
#[test]
fn a_ring_that_goes_round_keeps_every_window_to_its_bound() {
    model(|| {
        let sums_min = [i64::MIN, 10];
        let terms = Terms {
            permit: PERMIT,
            outcomes_max: 8,
            score_sums_min: Some(&sums_min),
            scores_roll: true,
            scores_last: 4,
            tag: 3,
            ..Terms::default()
        };
        let (lease, mut owner) = opened(1, &terms);
        for score in [5, 5, 5] {
            assert_eq!(lease.keep(PERMIT, 1, scored(score)), Some(3));
        }
        let mut kept = joined(keepers(&lease, &[9, 4]));
        let mut batch = Batch::default();
        lease.take(&mut owner, &mut batch);
        kept.sort_unstable();
        // A thread that lost a race with its score may ask anew or not; 4 is benign only after 9, 9 always is.
        let after = &batch.scores[batch.scores.len() - kept.len()..];
        assert!(batch.scores.windows(2).all(|window| window[0] + window[1] >= 10), "{:?}", batch.scores);
        assert_eq!(
            after,
            match &kept[..] {
                [0] => &[9][..],
                [0, 1] => &[9, 4][..],
                _ => panic!("{kept:?}"),
            }
        );
        assert_eq!(batch.successes as usize, 3 + kept.len());
    });
}

#[test]
fn no_more_is_kept_than_was_granted() {
    model(|| {
        let (lease, mut owner) = opened(2, &terms(1, None));
        let kept = joined(keepers(&lease, &[10, 20]));
        let mut batch = Batch::default();
        lease.take(&mut owner, &mut batch);
        assert_eq!(batch.latencies, kept);
        // None, where one thread has drawn what the other is waiting for.
        assert!(kept.len() <= 1);
    });
}

/// At every place in the order in which they are taken, the scores' sum keeps to its bound.
#[test]
fn scores_keep_to_their_bounds_in_the_order_in_which_they_are_taken() {
    model(|| {
        let sums_min = [5, 12];
        let (lease, mut owner) = opened(2, &terms(2, Some(&sums_min)));
        let threads = keepers(&lease, &[9, 4]);
        let mut batch = Batch::default();
        let taker = {
            let lease = Arc::clone(&lease);
            thread::spawn(move || {
                lease.take(&mut owner, &mut batch);
                (batch, owner)
            })
        };
        let mut kept = joined(threads);
        let (batch, _owner) = taker.join().expect("no panics");
        let mut sum = 0;
        for (score, least) in batch.scores.iter().zip(sums_min) {
            sum += score;
            assert!(sum >= least, "{:?}", batch.scores);
        }
        let mut taken: Vec<u64> = batch.scores.iter().map(|score| u64::from(*score == 4)).collect();
        taken.sort_unstable();
        kept.sort_unstable();
        assert_eq!(taken, kept);
        assert_eq!(batch.successes as usize, kept.len());
    });
}

/// A lease is taken and opened anew with other terms while a thread is at it: what it keeps, it keeps under the terms in
/// force.
#[test]
fn terms_hold_still_while_a_thread_looks_at_them() {
    model(|| {
        let (lease, owner) = opened(1, &Terms { latency_max: Some(5), ..terms(2, None) });
        let taken = Arc::new(Mutex::new((owner, Vec::new())));
        let taker = {
            let (lease, taken) = (Arc::clone(&lease), Arc::clone(&taken));
            thread::spawn(move || {
                let (mut batch, mut taken) = (Batch::default(), taken.lock().expect("no panics"));
                let (owner, first) = &mut *taken;
                lease.take(owner, &mut batch);
                first.extend(batch.latencies.iter().map(|latency| (1, *latency)));
                lease.open(owner, &Terms { permit: PERMIT + 1, latency_max: Some(9), ..terms(2, None) });
            })
        };
        let slow = Entry::Success { latency: 8, score: None, pending: false };
        let (old, new) = (lease.keep(PERMIT, 1, slow), lease.keep(PERMIT + 1, 2, slow));
        // Too slow under the first terms, of another generation under the second.
        assert_eq!(old, None);
        taker.join().expect("no panics");
        let mut taken = taken.lock().expect("no panics");
        let (owner, seen) = &mut *taken;
        let mut batch = Batch::default();
        lease.take(owner, &mut batch);
        seen.extend(batch.latencies.iter().map(|latency| (2, *latency)));
        let expected = if new.is_some() { vec![(2, 8)] } else { vec![] };
        assert_eq!(*seen, expected);
    });
}

/// Once a thread has seen that the lease was revoked, nobody who comes after it is admitted.
#[test]
fn a_revoked_lease_takes_effect_at_once() {
    model(|| {
        let (lease, mut owner) = opened(2, &terms(2, None));
        let revoked = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let revoker = {
            let (lease, revoked) = (Arc::clone(&lease), Arc::clone(&revoked));
            thread::spawn(move || {
                let mut batch = Batch::default();
                lease.take(&mut owner, &mut batch);
                lease.refuse(&mut owner, 100);
                revoked.store(true, loom::sync::atomic::Ordering::Release);
            })
        };
        let was_revoked = revoked.load(loom::sync::atomic::Ordering::Acquire);
        let admission = lease.admit(1);
        if was_revoked {
            assert_eq!(admission, Admission::Refused { now: 1 });
            assert_eq!(lease.keep(PERMIT, 2, scored(1)), None);
        }
        revoker.join().expect("no panics");
    });
}
