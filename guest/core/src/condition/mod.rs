//! Conditions: what can trip. Each is a level of its window, not of the record at hand, so that compositions of them
//! mean what they say.

mod leased;
mod report;
mod state;
mod tree;

pub(crate) use leased::LeasedRecords;
pub use report::{Cause, Reading};
pub(crate) use state::{LeafState, Record, rate_exceeds};
pub(crate) use tree::{Leaf, Node, Origin, States, Tree, any_by_time};

use crate::score::Score;
use crate::time::Nanos;
use crate::window::Window;
use serde::Serialize;

/// What a leaf of a policy looks for. Comparisons are strict where the names say above and below.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) enum Condition {
    /// The mean score of the window is below the threshold. Calls without a score are not in the window.
    QualityBelow {
        /// The limit.
        threshold: Score,
        /// Its samples are scores.
        window: Window,
    },
    /// Every latency in the window is above the threshold.
    LatencyAbove {
        /// The limit.
        threshold: Nanos,
        /// Its samples are calls.
        window: Window,
    },
    /// The share of failed calls in the window is above the rate.
    ErrorRateAbove {
        /// The limit, from 0 to 1.
        rate: f64,
        /// Its samples are calls.
        window: Window,
    },
    /// The share of calls in the window that took longer than the threshold is above the rate.
    SlowCallRateAbove {
        /// The limit, from 0 to 1.
        rate: f64,
        /// What is slow.
        threshold: Nanos,
        /// Its samples are calls.
        window: Window,
    },
    /// So many calls in a row have failed.
    ConsecutiveFailures {
        /// The limit.
        n: u32,
    },
    /// The host's own condition held at the last record.
    Host {
        /// Its place among the policy's host conditions.
        index: u32,
    },
}

impl Condition {
    /// The window, where it has one.
    pub(crate) fn window(&self) -> Option<Window> {
        match *self {
            Self::QualityBelow { window, .. }
            | Self::LatencyAbove { window, .. }
            | Self::ErrorRateAbove { window, .. }
            | Self::SlowCallRateAbove { window, .. } => Some(window),
            Self::ConsecutiveFailures { .. } | Self::Host { .. } => None,
        }
    }

    /// Whether its window keeps values, not hits alone.
    pub(crate) fn keeps_values(&self) -> bool {
        matches!(self, Self::QualityBelow { .. } | Self::LatencyAbove { .. })
    }

    /// Whether it looks at scores.
    pub(crate) fn is_quality(&self) -> bool {
        matches!(self, Self::QualityBelow { .. })
    }
}
