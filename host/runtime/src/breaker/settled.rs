//! What became of a permit that was settled.

use std::time::Duration;

use super::LateScores;
use crate::types::{Effect, StateChange};

/// What became of a settled permit.
#[derive(Clone, Debug)]
pub struct Settled<'b> {
    /// What became of the outcome.
    pub effect: Effect,
    /// The change of state that it made; boxed, since most calls make none.
    pub change: Option<Box<StateChange>>,
    /// The latency that was recorded.
    pub latency: Duration,
    /// For scores that come later.
    pub late: LateScores<'b>,
}

impl Settled<'_> {
    /// Whether this call opened the circuit.
    #[must_use]
    pub fn tripped(&self) -> bool {
        self.change.as_ref().is_some_and(|change| change.is_trip())
    }
}
