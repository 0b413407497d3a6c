//! How a call ended, by the names that the breaker's contract has for it, and what an HTTP status counts as: known to the library,
//! which records it, and to the reader of traces, which knows no breaker.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail loudly"))]

use std::fmt;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// The service answered. Whether the answer was any good is the score's matter.
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

    /// What a response with this HTTP status counts as, in every host of Softfuse.
    ///
    /// | status | counts as |
    /// |---|---|
    /// | below 400 | success |
    /// | 401, 402, 403, 404, 407 | error: as it is set up, the provider serves nobody: a key revoked, an account unpaid, a deployment gone |
    /// | 408, 504 | timeout |
    /// | 429 | rate-limited |
    /// | 503, 529 | overloaded |
    /// | 451 | content-policy |
    /// | 499 | cancelled: nginx's word for a client that went away |
    /// | every other 4xx | bad-request: it would be so for everyone |
    /// | 500 and more | error; RFC 9110 (15) has clients take statuses beyond 599 for a 5xx |
    ///
    /// Routers for models draw the line between 401 and 400 in the same way: LiteLLM's cools a deployment down on 401, 404, 408 and
    /// 429 and on no other 4xx (`litellm/router_utils/cooldown_handlers.py`, `_is_cooldown_required`). Whoever sees it otherwise,
    /// for a service whose 404 means an unknown document, say, classifies by a function of their own.
    ///
    /// ```
    /// use softfuse_outcome::OutcomeKind;
    ///
    /// assert_eq!(OutcomeKind::from_http_status(529), OutcomeKind::Overloaded);
    /// ```
    #[must_use]
    pub const fn from_http_status(status: u16) -> Self {
        match status {
            ..400 => Self::Success,
            401..=404 | 407 => Self::Error,
            408 | 504 => Self::Timeout,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            451 => Self::ContentPolicy,
            499 => Self::Cancelled,
            400..500 => Self::BadRequest,
            500.. => Self::Error,
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
