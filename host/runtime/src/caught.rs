//! Keeps panics of code that isn't ours (hooks, clocks, subscribers) from costing a caller its answer or a thread its life.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What a call comes to; none where it panics, which is logged.
pub(crate) fn caught<R>(what: &str, call: impl FnOnce() -> R) -> Option<R> {
    let said = catch_unwind(AssertUnwindSafe(call));
    if said.is_err() {
        // A subscriber of the log may be what panicked.
        let _ = catch_unwind(|| tracing::error!(what, "it panicked, and is passed over"));
    }
    said.ok()
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
