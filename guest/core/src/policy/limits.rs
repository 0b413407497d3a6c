//! The named bounds of a policy's settings. What lies outside is refused with a message that says the bound.

use crate::time::{MILLISECOND, MINUTE, Nanos};

/// Longest policy text, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;
/// Most problems of a text that are told, the first ones.
pub const PROBLEMS_MAX: usize = 100;
/// Most conditions in a policy, compositions not counted.
pub const CONDITIONS_MAX: usize = 256;
/// Deepest nesting of compositions.
pub const DEPTH_MAX: u32 = 32;
/// Largest window by count, in samples.
pub const WINDOW_MAX: u32 = 100_000;
/// Shortest window by time.
pub const WINDOW_SPAN_MIN: Nanos = MILLISECOND;
/// Longest span that a policy may name, for a window by time or a period: 30 days.
pub const SPAN_MAX: Nanos = 30 * 24 * 60 * MINUTE;
/// Most slices of a window by time.
pub const SLICES_MAX: u32 = 1_000;
/// Most failures in a row that a policy may ask for.
pub const CONSECUTIVE_FAILURES_MAX: u32 = 1_000_000;
/// Most probes at once, and most passes that a policy may ask for.
pub const PROBES_MAX: u32 = 1_000;
/// Most tiers of `adaptive`.
pub const TIERS_MAX: usize = 16;
/// Largest `calls_per_minute_above`: the breaker keeps a time for each of these calls.
pub const CALLS_PER_MINUTE_MAX: u32 = 10_000;
/// Longest name of a host's own condition, in bytes.
pub const HOST_CONDITION_BYTES_MAX: usize = 128;
/// Largest multiplier of the backoff.
pub const MULTIPLIER_MAX: f64 = 1_000.0;
