//! What is kept, what isn't, and in which order it is taken.
#![cfg(not(loom))]

use softfuse_lease::{Admission, Batch, Entry, Lease, Marks, OUTCOMES_MAX, Owner, Terms};

const PERMIT: u64 = 3 << 32;

fn terms() -> Terms<'static> {
    let (until, latency_max, missing_score, score_sums_min) = (None, None, None, None);
    Terms { permit: PERMIT, outcomes_max: 256, until, latency_max, missing_score, score_sums_min, tag: 1 }
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
    assert!(!lease.is_waiting());
}

#[test]
fn what_is_not_benign_is_not_kept() {
    let (lease, mut owner) = opened(&Terms { until: Some(100), latency_max: Some(10), ..terms() });
    assert_eq!(lease.keep(PERMIT, 99, success(10)), Some(1));
    assert_eq!(lease.keep(PERMIT - 1, 99, success(1)), None);
    assert_eq!(lease.keep(PERMIT, 99, success(11)), None);
    assert_eq!(lease.keep(PERMIT, 99, Entry::Late(Some(1))), Some(1));
    assert_eq!(lease.keep(PERMIT, 100, success(1)), None);
    assert_eq!(lease.latest(), 99);
    // Time never runs backwards, once it was seen.
    lease.note(100);
    assert_eq!(lease.keep(PERMIT, 50, success(1)), None);
    assert!(lease.is_waiting());
    let batch = taken(&lease, &mut owner);
    assert_eq!((&batch.settled_at[..], &batch.latencies[..]), (&[99, 99][..], &[10, 0][..]));
    assert_eq!(batch.marks, [0, Marks::LATE.bits() | Marks::SCORED.bits()]);
    assert_eq!(lease.latest(), 100);
    assert!(!lease.is_waiting() && taken(&lease, &mut owner).is_empty());
}

#[test]
fn a_missing_score_counts_as_the_policy_says_unless_it_is_owed() {
    let sums_min = [0, 0, 0];
    let (lease, mut owner) = opened(&Terms { missing_score: Some(-1), score_sums_min: Some(&sums_min), ..terms() });
    assert_eq!(lease.keep(PERMIT, 1, success(1)), None);
    let pending = Entry::Success { latency: 1, score: None, pending: true };
    assert_eq!(lease.keep(PERMIT, 2, pending), Some(1));
    assert_eq!(lease.keep(PERMIT, 3, Entry::Late(None)), None);
    assert_eq!(lease.keep(PERMIT, 4, scored(1)), Some(1));
    assert_eq!(lease.keep(PERMIT, 5, Entry::Late(None)), Some(1));
    let batch = taken(&lease, &mut owner);
    assert_eq!(batch.marks, [Marks::PENDING, Marks::SCORED, Marks::LATE].map(Marks::bits));
    assert_eq!(batch.scores, [0, 1, 0]);
}

#[test]
fn one_thread_may_have_all_that_a_stripe_holds() {
    for granted in [1, 2, 5, 17, 63, 64] {
        let (lease, mut owner) = opened(&Terms { outcomes_max: granted, ..terms() });
        let kept = (0..100).filter(|at| lease.keep(PERMIT, *at, success(1)).is_some()).count();
        assert_eq!(kept as u32, granted);
        assert_eq!(taken(&lease, &mut owner).len() as u32, granted);
    }
}

#[test]
fn refusals_are_counted_and_end_in_time() {
    let (lease, mut owner) = opened(&terms());
    lease.refuse(&mut owner, 10);
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
    for sums in [None, Some(vec![i64::MIN; OUTCOMES_MAX as usize])] {
        let terms = Terms { score_sums_min: sums.as_deref(), outcomes_max: 100, ..terms() };
        let (lease, owner) = opened(&terms);
        let component = std::sync::Mutex::new((owner, Batch::default(), Vec::new(), 0u64));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (lease, component, terms) = (&lease, &component, &terms);
                scope.spawn(move || {
                    for number in 0..EACH {
                        // What tells it: the thread, and its place.
                        let id = thread << 32 | number;
                        if lease.keep(PERMIT, number, success(id)).is_none() {
                            let mut locked = component.lock().expect("no panics");
                            let (owner, batch, recorded, leases) = &mut *locked;
                            lease.take(owner, batch);
                            recorded.extend_from_slice(&batch.latencies);
                            recorded.push(id);
                            *leases += 1;
                            lease.open(owner, terms);
                        }
                    }
                });
            }
        });
        let (mut owner, mut batch, mut recorded, leases) = component.into_inner().expect("no panics");
        lease.take(&mut owner, &mut batch);
        recorded.extend_from_slice(&batch.latencies);
        for thread in 0..THREADS {
            let own: Vec<u64> = recorded.iter().filter(|id| *id >> 32 == thread).map(|id| id & 0xffff_ffff).collect();
            assert_eq!(own.len() as u64, EACH);
            assert!(own.is_sorted(), "a thread's own order");
        }
        assert!(leases < THREADS * EACH / 4, "{leases} leases: nearly nothing was kept");
    }
}
