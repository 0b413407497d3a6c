//! Numbers for threads, so that each has a part of its own of what they share.

/// No number: a thread that is ending, beside those that have one.
const NONE: usize = usize::MAX;

/// This thread's number: the least that no other living thread has. A thread that ends gives its number back; while it does, it has
/// none.
#[cfg(not(loom))]
#[inline]
pub fn thread_number() -> Option<usize> {
    let number = numbers::NUMBER.get();
    if number < numbers::UNKNOWN { Some(number) } else { numbers::find(number) }
}

#[cfg(not(loom))]
mod numbers {
    use std::cell::Cell;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::sync::{Mutex, PoisonError};

    use super::NONE;

    /// Not asked for yet.
    pub(super) const UNKNOWN: usize = NONE - 1;

    /// Numbers from 0 on, and those of them that were given back.
    struct Numbers {
        next: usize,
        free: BinaryHeap<Reverse<usize>>,
    }

    static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, free: BinaryHeap::new() });

    /// Gives the thread's number back when it ends.
    struct Ending(usize);

    impl Drop for Ending {
        fn drop(&mut self) {
            NUMBER.set(NONE);
            NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).free.push(Reverse(self.0));
        }
    }

    thread_local! {
        // Needs no destructor, so that reading it costs a load.
        pub(super) static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
        static ENDING: Cell<Option<Ending>> = const { Cell::new(None) };
    }

    #[cold]
    pub(super) fn find(number: usize) -> Option<usize> {
        if number == NONE {
            return None;
        }
        // None where the thread is ending and has none: another destructor asks.
        let _ = ENDING.try_with(|ending| {
            let number = {
                let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
                match numbers.free.pop() {
                    Some(Reverse(number)) => number,
                    None => {
                        numbers.next += 1;
                        numbers.next - 1
                    }
                }
            };
            NUMBER.set(number);
            ending.set(Some(Ending(number)));
        });
        let found = NUMBER.get();
        (found < UNKNOWN).then_some(found)
    }
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

/// The number that the model gave.
#[cfg(loom)]
pub fn thread_number() -> Option<usize> {
    Some(NUMBER.with(std::cell::Cell::get)).filter(|number| *number != NONE)
}
