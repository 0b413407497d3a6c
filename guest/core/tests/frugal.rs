//! What a snapshot and a restore take beside the breaker: the encoding, and little else.
#![allow(unsafe_code, clippy::unwrap_used, reason = "an allocator is unsafe by its trait; a test may fail loudly")]

use softfuse_core::{Breaker, Outcome, OutcomeKind, Policy, Signal};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the bytes that are in use, and the most that were.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(USED.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What an act gives, the most bytes that it had in use, and how many it leaves in use.
fn measured<T>(act: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = USED.load(Relaxed);
    MOST.store(before, Relaxed);
    let given = act();
    (given, MOST.load(Relaxed) - before, USED.load(Relaxed) - before)
}

/// Room for what isn't samples: texts, paths, a window of slices on its way in.
const SMALL: usize = 16 << 10;
const WINDOW: u64 = 20_000;

/// The only test here, since the allocator counts for the whole process.
#[test]
fn a_snapshot_takes_its_encoding_and_a_restore_its_breaker() {
    let quality = "{ quality_below = { threshold = 0.7, window = 20_000 } }";
    let slow = "{ latency_above = { threshold_ms = 1, window = 20_000 } }";
    let errors = "{ error_rate_above = { rate = 0.5, window = 20_000 } }";
    let text =
        format!("trip_on = {{ all_of = [{quality}, {quality}, {slow}, {errors}, {{ consecutive_failures = 9 }}] }}");
    let policy = Arc::new(Policy::parse(&text).unwrap());
    let (breaker, most, kept) = measured(|| {
        let mut breaker = Breaker::new(policy.clone(), "frugal", 0, 0);
        for call in 0..WINDOW + 77 {
            let permit = breaker.before_call(call).unwrap().permit;
            let latency = 2_000_000 + call;
            let outcome = Outcome { signal: Signal::Score(0.9), ..Outcome::new(OutcomeKind::Success, latency) };
            breaker.record_outcome(permit, &outcome, call).unwrap();
        }
        breaker
    });
    let full = policy.breaker_bytes() as usize;
    assert!(kept <= full, "a full breaker takes {kept} bytes, and its policy says {full}");
    assert!(most <= full + WINDOW as usize * 8, "{most} bytes while it filled");
    let (snapshot, most, _) = measured(|| breaker.snapshot(WINDOW + 100));
    assert!(snapshot.len() > 3 * 20_000 * 4, "{}", snapshot.len());
    assert!(most <= snapshot.len() + SMALL, "{most} bytes for a snapshot of {}", snapshot.len());
    let (restored, most, kept) = measured(|| Breaker::restore(policy.clone(), &snapshot, WINDOW + 100, 0).unwrap());
    assert!(most <= kept + SMALL, "{most} bytes for a restore, of which {kept} are kept");
    assert_eq!(restored.snapshot(WINDOW + 100), snapshot);
}
