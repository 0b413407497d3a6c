//! Keeps panics of code that isn't ours (hooks, clocks, subscribers) from costing a caller its answer or a thread its life.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What a call comes to; none where it panics, which is logged.
pub(crate) fn caught<R>(what: &str, call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(said) => Some(said),
        Err(panic) => {
            discard(panic);
            // A subscriber of the log may be what panicked.
            if let Err(panic) = catch_unwind(|| tracing::error!(what, "it panicked, and is passed over")) {
                discard(panic);
            }
            None
        }
    }
}

/// [`caught`] around each poll of a future.
pub(crate) async fn caught_async<F: Future>(what: &str, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match caught(what, || future.as_mut().poll(cx)) {
        Some(polled) => polled.map(Some),
        None => Poll::Ready(None),
    })
    .await
}

/// Drops what a panic has left, which may be anything, and so may panic itself.
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // There may be no end to it, so it is leaked.
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    struct Evil;

    impl Drop for Evil {
        fn drop(&mut self) {
            panic_any(Self);
        }
    }

    #[test]
    fn a_panic_is_no_answer_whatever_it_leaves() {
        assert_eq!(caught("the test", || 1), Some(1));
        assert_eq!(caught("the test", || panic!("a bug")), None::<u32>);
        assert_eq!(caught("the test", || panic_any(Evil)), None::<u32>);
    }
}
