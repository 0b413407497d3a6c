//! What every host is tested against: the shared vectors of `tests/vectors`, and a generator of histories.
//!
//! A host is tested through a [`Subject`], a small adapter. What a subject is seen to do comes back as plain data
//! ([`Seen`], [`StatusSeen`]), so that vectors can name parts of it, and two subjects can be compared whole.

pub mod core_subject;
pub mod disciplined;
pub mod history;
pub mod policies;
pub mod recorded;
pub mod seen;
pub mod vectors;

pub use core_subject::CoreSubject;
pub use disciplined::Disciplined;
pub use seen::{CauseSeen, EventSeen, ReadingSeen, Seen, StatusSeen, TripSeen};

/// How a call ends, for a subject to record.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// The outcome's kind by its name in the contract, as in `rate-limited`.
    pub kind: &'static str,
    /// In nanoseconds.
    pub latency: u64,
    /// What it says of quality.
    pub signal: SignalIn,
    /// In nanoseconds.
    pub retry_after: Option<u64>,
    /// The verdicts of the host's own conditions.
    pub verdicts: Vec<Option<String>>,
}

/// What an ending says of quality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SignalIn {
    /// Nothing.
    None,
    /// A score.
    Score(f64),
    /// The score is owed.
    Pending,
}

/// One breaker of one host, behind the operations of the contract. Times are nanoseconds of its clock.
pub trait Subject {
    /// `before-call`.
    fn before(&mut self, now: u64) -> Seen;
    /// `record-outcome`.
    fn settle(&mut self, permit: u64, ending: &Ending, now: u64) -> Seen;
    /// `report-quality`; none for a score that won't come.
    fn report(&mut self, permit: u64, score: Option<f64>, now: u64) -> Seen;
    /// `would-refuse`.
    fn would_refuse(&mut self, now: u64) -> Seen;
    /// `status`.
    fn status(&mut self, now: u64) -> StatusSeen;
    /// `reset`.
    fn reset(&mut self, now: u64) -> Seen;
    /// `set-operator-state`, by the state's name.
    fn operator(&mut self, state: &str, now: u64) -> Seen;
    /// `trip`.
    fn trip(&mut self, reason: &str, open_for: Option<u64>, now: u64) -> Seen;
    /// `snapshot` at `now`, then `restore` at `then`, after having been `away`; the restored breaker takes over.
    fn reincarnate(&mut self, now: u64, then: u64, away: u64);
}

/// The name of the kind of outcome by which the service has answered.
pub const SUCCESS: &str = "success";
/// The names of the kinds that count against the service.
pub const FAILURES: [&str; 4] = ["error", "timeout", "rate-limited", "overloaded"];
/// The names of the kinds that count neither for nor against the service.
pub const NEUTRAL: [&str; 3] = ["cancelled", "content-policy", "bad-request"];

/// The names of all kinds of outcomes, in the contract's order.
pub const KINDS: [&str; 8] =
    [SUCCESS, FAILURES[0], FAILURES[1], FAILURES[2], FAILURES[3], NEUTRAL[0], NEUTRAL[1], NEUTRAL[2]];
