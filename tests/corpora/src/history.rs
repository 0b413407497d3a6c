//! The target `history`: any bytes are a policy and steps, and the breaker keeps its promises through all of them.

use crate::drive::{Bounds, Driver, Tally};
use crate::{ops, policies};
use softfuse_core::Breaker;

/// Drives a breaker through the steps that the bytes spell; the first byte names the policy.
///
/// # Panics
/// Where something doesn't hold.
pub fn run(bytes: &[u8]) -> Tally {
    let Some((policy, steps)) = bytes.split_first() else { return Tally::default() };
    let known = policies::known(*policy);
    let bounds = Bounds { probes_max: known.probes_max, passes_needed: known.passes_needed };
    let mut driver = Driver::new(Breaker::new(known.policy.clone(), "fuzz", 1, 0), bounds);
    for op in ops::ops(steps) {
        driver.step(&op);
    }
    driver.tally
}
