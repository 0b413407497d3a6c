//! How a recorded call ended, by the names that the breaker's contract has for it.

use std::fmt;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// The service answered.
    Success,
    /// A failure of the service: an exception, a 5xx, a broken stream.
    Error,
    /// A failure: no answer in time.
    Timeout,
    /// A failure: the service refused for its rate limit (429).
    RateLimited,
    /// A failure: the service refused for its load (503, 529).
    Overloaded,
    /// Neutral: the caller went away.
    Cancelled,
    /// Neutral: the service refused what was asked, by its content policy.
    ContentPolicy,
    /// Neutral: the request was bad by itself.
    BadRequest,
}

impl OutcomeKind {
    /// Every kind, in the contract's order.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Error,
        Self::Timeout,
        Self::RateLimited,
        Self::Overloaded,
        Self::Cancelled,
        Self::ContentPolicy,
        Self::BadRequest,
    ];

    /// Whether it counts against the service.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Error | Self::Timeout | Self::RateLimited | Self::Overloaded)
    }

    /// Whether it counts neither for nor against the service.
    #[must_use]
    pub const fn is_neutral(self) -> bool {
        matches!(self, Self::Cancelled | Self::ContentPolicy | Self::BadRequest)
    }

    /// The contract's name, as in `rate-limited`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
