//! A policy: validated, immutable settings, compiled from TOML text.
//!
//! The text is parsed here, inside the component, so that every host in every language reads the same file with the
//! same messages. Names and defaults are ml-breaker's where it has them.

mod condition_keys;
mod keys;
mod limits;
mod nearest;
mod number;
mod parse;
mod problem;

pub use limits::*;
pub use problem::Problem;

use crate::backoff::Backoff;
use crate::condition::{Condition, Leaf, Node};
use crate::load::Tier;
use crate::score::Score;
use crate::time::{MINUTE, Nanos};
use alloc::{boxed::Box, vec::Vec};
use serde::Serialize;

/// When a breaker trips, and how it recovers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// What trips: `trip_on`.
    pub(crate) tree: Node,
    /// The tree's leaves, in order of appearance.
    pub(crate) leaves: Box<[Leaf]>,
    /// The host's own conditions, by name, each once.
    pub(crate) host_conditions: Box<[Box<str>]>,
    pub(crate) half_open_after: Nanos,
    pub(crate) half_open_max_calls: u32,
    pub(crate) recovery_threshold: u32,
    pub(crate) probe_timeout: Nanos,
    pub(crate) require_quality_signal: bool,
    pub(crate) missing_score: Score,
    pub(crate) retry_after_max: Nanos,
    pub(crate) backoff: Backoff,
    /// Strictest first.
    pub(crate) adaptive: Box<[Tier]>,
    #[serde(skip)]
    pub(crate) fingerprint: u64,
}

/// Default open period: 60 s (ml-breaker 0.1.1, `half_open_after`).
pub const HALF_OPEN_AFTER: Nanos = MINUTE;
/// Default limit of probes at once: 3.
pub const HALF_OPEN_MAX_CALLS: u32 = 3;
/// Default passes in a row that close the circuit: 2 (ml-breaker 0.1.1, `recovery_threshold`).
pub const RECOVERY_THRESHOLD: u32 = 2;
/// Default time after which a probe that wasn't settled frees its slot: 60 s, as long as the open period.
pub const PROBE_TIMEOUT: Nanos = MINUTE;
/// Default cap of a `Retry-After`: 10 minutes.
pub const RETRY_AFTER_MAX: Nanos = 10 * MINUTE;
/// Default window: 20 samples (ml-breaker 0.1.1); for a window by time, its least number of samples.
pub const WINDOW: u32 = 20;
/// Default slices of a window by time: 10 (Hystrix's `metrics.rollingStats.numBuckets`).
pub const SLICES: u32 = 10;

impl Policy {
    /// Compiles a policy's text.
    ///
    /// # Errors
    /// Every problem at once, in order of appearance, at most [`PROBLEMS_MAX`].
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        parse::parse(text)
    }

    /// Equal for policies of equal meaning: comments, order of keys and spelling of durations don't matter.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The names of the host's own conditions, each once, in order of appearance. A record's verdicts come in this order.
    pub fn host_conditions(&self) -> impl ExactSizeIterator<Item = &str> {
        self.host_conditions.iter().map(AsRef::as_ref)
    }

    /// Whether any condition looks at scores.
    pub fn uses_scores(&self) -> bool {
        self.leaves.iter().any(|leaf| matches!(leaf.condition, Condition::QualityBelow { .. }))
    }

    /// Whether a success without a score counts as the policy's `missing_score`.
    pub fn require_quality_signal(&self) -> bool {
        self.require_quality_signal
    }

    /// The score that a missing one counts as, where the policy asks for one.
    pub(crate) fn missing(&self) -> Option<Score> {
        self.require_quality_signal.then_some(self.missing_score)
    }

    /// FNV-1a over the serialised settings: no secret, and stable across builds of one snapshot version.
    pub(crate) fn compute_fingerprint(&self) -> u64 {
        // Serialising into a growing vector fails only on types that postcard can't write, and these are none; were it
        // to fail, equal policies would still be equal.
        let bytes = postcard::to_allocvec(self).unwrap_or_default();
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
