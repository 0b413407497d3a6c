//! The circuit breaker's logic: pure, without a clock, randomness or I/O.
//!
//! It runs natively in property tests and fuzzers, and inside the breaker component everywhere else. A host hands in the
//! time with every call, so the same calls give the same decisions, and a recorded trace replays bit for bit.
//!
//! ```
//! use softfuse_core::{Breaker, Outcome, OutcomeKind, Policy, Signal, State};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::parse("trip_on = { quality_below = { threshold = 0.7, window = 2 } }").map_err(|p| p[0].clone())?;
//! let mut breaker = Breaker::new(policy.into(), "chat", 0, 0);
//! for score in [0.9, 0.2] {
//!     let Ok(admission) = breaker.before_call(0) else { unreachable!() };
//!     let answer = Outcome { signal: Signal::Score(score), ..Outcome::new(OutcomeKind::Success, 1_000_000) };
//!     breaker.record_outcome(admission.permit, &answer, 1_000_000).unwrap();
//! }
//! assert_eq!(breaker.state(), State::Open);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod backoff;
mod breaker;
mod condition;
mod event;
mod lease;
mod load;
mod outcome;
mod permit;
pub mod policy;
mod score;
pub mod time;
mod window;

pub use breaker::{
    Admission, Breaker, Effect, FailureReport, Lease, LeasedBatch, LeasedError, LeasedSettlement, RecordError,
    Rejection, RestoreError, Settlement, Standing, Status, TRANSITIONS_MAX, Totals, Transition, TripReport,
};
pub use condition::{Cause, Reading};
pub use event::{Event, EventReason, MaybeEvent, OperatorState, State, TEXT_BYTES_MAX, TripReason};
pub use lease::{AdmitTerms, Details, LEASE_KEPT_MAX, LEASE_OUTCOMES_MAX, LEASE_SCORES_MAX};
pub use outcome::{Class, Outcome, OutcomeKind, QualityReport, Signal};
pub use permit::Permit;
pub use policy::{Policy, Problem};
pub use score::{InvalidScore, SCORE_MAX, Score};
