//! Keeps panics of code that isn't ours (hooks, clocks, subscribers) from costing a caller its answer or a thread its life.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call comes to; none where it panics, which is logged.
pub(crate) fn caught<R>(what: &str, call: impl FnOnce() -> R) -> Option<R> {
    let said = catch_unwind(AssertUnwindSafe(call));
    if said.is_err() {
        // A subscriber of the log may be what panicked.
        let _ = catch_unwind(|| tracing::error!(what, "it panicked, and is passed over"));
    }
    said.ok()
}
