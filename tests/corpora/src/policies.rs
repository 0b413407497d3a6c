//! The policies that structured inputs choose from: every condition, both kinds of windows, nested compositions, and
//! numbers so small that a short input fills a window, trips, and recovers.

use softfuse_core::Policy;
use std::sync::{Arc, LazyLock};

/// A policy, with those of its numbers that the checks need.
#[derive(Clone, Debug)]
pub struct Known {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Most probes at once.
    pub probes_max: u32,
    /// Passes that close the circuit.
    pub passes_needed: u32,
}

/// The texts, each with `half_open_max_calls` and `recovery_threshold`. Inputs name them by their place: add new ones at
/// the end, or the corpora mean something else.
const TEXTS: [(&str, u32, u32); 13] = [
    ("trip_on = { quality_below = { threshold = 0.7, window = 3 } }", 3, 2),
    ("trip_on = { consecutive_failures = 2 }\nhalf_open_after = \"1s\"\nrecovery_threshold = 1", 3, 1),
    ("trip_on = { error_rate_above = { rate = 0.5, window = \"4s\", slices = 4, minimum_calls = 2 } }", 3, 2),
    ("trip_on = { latency_above = { threshold_ms = 20, window = 2 } }\nhalf_open_max_calls = 1", 1, 2),
    (
        "trip_on = { slow_call_rate_above = { rate = 0.25, threshold_ms = 5, window = \"40ms\", slices = 4, minimum_calls = 4 } }\n\
         probe_timeout = \"30ms\"\nhalf_open_after = \"20ms\"\nhalf_open_max_calls = 2\nrecovery_threshold = 5",
        2,
        5,
    ),
    (
        "trip_on = { any_of = [ { quality_below = { threshold = 0.5, window = 4, minimum_calls = 2 } }, \
         { all_of = [ { error_rate_above = { rate = 0.3, window = 5 } }, { latency_above = { threshold_ms = 1, window = 2 } } ] }, \
         { consecutive_failures = 3 } ] }\nrequire_quality_signal = true\nmissing_score = 0.1",
        3,
        2,
    ),
    (
        "trip_on = { any_of = [ { host_condition = \"h0\" }, { host_condition = \"h1\" }, { quality_below = 0.9 } ] }\n\
         backoff = { multiplier = 2.0, max = \"10m\", jitter = 0.5, seed = 7 }",
        3,
        2,
    ),
    (
        "trip_on = { consecutive_failures = 4 }\n[[adaptive]]\ncalls_per_minute_above = 5\nconsecutive_failures = 2\n\
         half_open_after = \"10ms\"\n[[adaptive]]\ncalls_per_minute_above = 2\nconsecutive_failures = 3",
        3,
        2,
    ),
    (
        "trip_on = { all_of = [ { quality_below = { threshold = 0.7, window = \"1s\", slices = 2, minimum_calls = 2 } }, \
         { consecutive_failures = 1 } ] }\nretry_after_max = \"2s\"\nrequire_quality_signal = true",
        3,
        2,
    ),
    (
        "trip_on = { error_rate_above = { rate = 0.29, window = 70, minimum_calls = 3 } }\nrecovery_threshold = 1000",
        3,
        1000,
    ),
    ("trip_on = { quality_below = { threshold = -1000000, window = 1 } }\nhalf_open_max_calls = 1000", 1000, 2),
    (
        "trip_on = { latency_above = { threshold_ms = 0, window = \"30d\", slices = 1000, minimum_calls = 1 } }\n\
         half_open_after = \"30d\"\nbackoff = { multiplier = 1000.0, max = \"30d\", jitter = 1.0 }",
        3,
        2,
    ),
    (
        "trip_on = { all_of = [ { quality_below = { threshold = 0.7, window = 2 } }, { host_condition = \"h0\" }, \
         { slow_call_rate_above = { rate = 0.3, threshold_ms = 5, window = 3 } } ] }\n\
         half_open_after = \"1s\"\nprobe_timeout = \"2s\"",
        3,
        2,
    ),
];

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let known = |(text, probes_max, passes_needed): &(&str, u32, u32)| {
        let policy = Policy::parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        Known { policy: policy.into(), probes_max: *probes_max, passes_needed: *passes_needed }
    };
    TEXTS.iter().map(known).collect()
});

/// The policy that a byte of an input names.
pub fn known(byte: u8) -> &'static Known {
    let known = &*KNOWN;
    &known[usize::from(byte) % known.len()]
}

/// How many there are.
pub fn count() -> u8 {
    // As many as TEXTS, 13.
    TEXTS.len() as u8
}
