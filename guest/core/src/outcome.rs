//! How guarded calls end.

use crate::time::Nanos;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// How a guarded call ended, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcomeKind {
    /// The service answered.
    Success,
    /// A failure of the service.
    Error,
    /// A failure: no answer in time.
    Timeout,
    /// A failure: refused for a rate limit.
    RateLimited,
    /// A failure: refused for load.
    Overloaded,
    /// Neutral: the caller went away.
    Cancelled,
    /// Neutral: refused by the service's content policy.
    ContentPolicy,
    /// Neutral: the request was bad by itself.
    BadRequest,
}

/// What a kind counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Counts for the service.
    Success,
    /// Counts against the service.
    Failure,
    /// Counts neither way.
    Neutral,
}

impl OutcomeKind {
    /// What it counts as.
    pub const fn class(self) -> Class {
        match self {
            Self::Success => Class::Success,
            Self::Error | Self::Timeout | Self::RateLimited | Self::Overloaded => Class::Failure,
            Self::Cancelled | Self::ContentPolicy | Self::BadRequest => Class::Neutral,
        }
    }

    /// Its name, as in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate-limited",
            Self::Overloaded => "overloaded",
            Self::Cancelled => "cancelled",
            Self::ContentPolicy => "content-policy",
            Self::BadRequest => "bad-request",
        }
    }
}

/// What an outcome says of its answer's quality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// Nothing.
    None,
    /// A score.
    Score(f64),
    /// The score comes later.
    Pending,
}

/// How a guarded call ended, in full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome<'a> {
    /// In a word.
    pub kind: OutcomeKind,
    /// From the start of the call to its end, in nanoseconds.
    pub latency: Nanos,
    /// What it says of the answer's quality.
    pub signal: Signal,
    /// How long the service asked not to be called, in nanoseconds.
    pub retry_after: Option<Nanos>,
    /// The verdicts of the host's own conditions, as many as the policy names: for one that holds, its reason.
    pub verdicts: &'a [Option<String>],
}

impl Outcome<'_> {
    /// An outcome with nothing but its kind and its latency.
    pub const fn new(kind: OutcomeKind, latency: Nanos) -> Self {
        Self { kind, latency, signal: Signal::None, retry_after: None, verdicts: &[] }
    }
}

/// A score that comes after its outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QualityReport {
    /// It has come.
    Score(f64),
    /// It won't come.
    Missing,
}
