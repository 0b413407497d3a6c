//! Threads on which scorers run, where that can't be the caller's.

use std::io;
use std::thread;

use super::ScorerFailure;
use crate::engine::WASM_STACK_BYTES;

/// Stack of the threads that the library makes for scorers: the component's, and 1.5 MiB for the host's own frames and for
/// callbacks that are told of a score. Said here, since the system's or the user's default (`RUST_MIN_STACK`) may be less.
const STACK_BYTES: usize = WASM_STACK_BYTES + (1536 << 10);

/// Starts a thread.
pub(super) fn start(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(run).map(drop)
}

/// Runs a scorer's code here, or where it may wait for something, on a thread that tokio doesn't own: WASI's functions wait
/// in a runtime of their own, which can't be entered from within another.
pub(super) fn outside_tokio<T: Send>(may_wait: bool, run: impl FnOnce() -> T + Send) -> Result<T, ScorerFailure> {
    if !may_wait || tokio::runtime::Handle::try_current().is_err() {
        return Ok(run());
    }
    aside(STACK_BYTES, run)
}

/// Runs it on a thread of its own, and waits.
fn aside<T: Send>(stack_bytes: usize, run: impl FnOnce() -> T + Send) -> Result<T, ScorerFailure> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("softfuse-scorer".to_owned()).stack_size(stack_bytes);
        let spawned = thread.spawn_scoped(scope, run).map_err(|error| {
            // It is no fault of the component, but it is why there is no score.
            ScorerFailure::NotStarting(format!("the system gives no thread for it: {error}"))
        })?;
        // The thread's panic is this thread's, as if there had been one thread only.
        Ok(spawned.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_thread_is_no_panic() {
        // No machine has an address space of 2^60 bytes.
        match aside(1 << 60, || ()) {
            Err(ScorerFailure::NotStarting(text)) => assert!(text.contains("no thread"), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn only_what_may_wait_leaves_the_thread() {
        let here = thread::current().id();
        let ran_on = |may_wait| outside_tokio(may_wait, || thread::current().id());
        assert_eq!(ran_on(false), Ok(here));
        assert!(ran_on(true).is_ok_and(|there| there != here));
    }
}
