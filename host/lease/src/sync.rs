//! Atomics: the standard library's, or those of the model checker `loom`, which tries every interleaving.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// A number of this thread's own, so that threads spread over stripes.
#[cfg(not(loom))]
#[inline]
pub(crate) fn thread_number() -> usize {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;

    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(THREADS.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1));
        }
        number.get()
    })
}

#[cfg(loom)]
loom::thread_local! {
    static NUMBER: std::cell::Cell<usize> = std::cell::Cell::new(0);
}

/// A model says which thread is which, since it is run again and again and must be the same each time.
#[cfg(loom)]
pub fn set_thread_number(thread: usize) {
    NUMBER.with(|number| number.set(thread));
}

#[cfg(loom)]
pub(crate) fn thread_number() -> usize {
    NUMBER.with(std::cell::Cell::get)
}

/// Waits a little for another thread: it is between two steps that follow each other.
pub(crate) fn wait(times: u32) {
    #[cfg(loom)]
    {
        let _ = times;
        loom::thread::yield_now();
    }
    #[cfg(not(loom))]
    if times < 100 {
        std::hint::spin_loop();
    } else {
        // It was interrupted by the system.
        std::thread::yield_now();
    }
}
