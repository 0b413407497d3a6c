//! Atomics: the standard library's, or those of the model checker `loom`, which tries every interleaving.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Waits for another thread, which is between two steps that follow each other.
#[inline]
pub(crate) fn wait_for(ready: impl Fn() -> bool) {
    if !ready() {
        wait_long_for(ready);
    }
}

#[cold]
fn wait_long_for(ready: impl Fn() -> bool) {
    let mut times = 0u32;
    while !ready() {
        #[cfg(loom)]
        loom::thread::yield_now();
        #[cfg(not(loom))]
        if times < 100 {
            std::hint::spin_loop();
        } else {
            // It was interrupted by the system.
            std::thread::yield_now();
        }
        times = times.saturating_add(1);
    }
}

/// How often [`soon`] looks: some 100 ns.
const LOOKS: u32 = if cfg!(loom) { 2 } else { 64 };

/// Whether another thread, which is between two steps that follow each other, takes the second one soon.
#[inline]
pub(crate) fn soon(ready: impl Fn() -> bool) -> bool {
    for _ in 0..LOOKS {
        if ready() {
            return true;
        }
        #[cfg(not(loom))]
        std::hint::spin_loop();
    }
    false
}
