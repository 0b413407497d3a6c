//! The numbers of the ABI: what a function came to, and the words of the contract.

use std::ffi::{CStr, c_char};

use softfuse::{Effect, OperatorState, OutcomeKind, State};

use crate::fault::Fault;

/// What a function came to. Functions that return it change nothing where it isn't `SF_OK`, unless they say otherwise. Later
/// versions may add codes: take an unknown one for a failure.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_code {
    /// Done.
    SF_OK = 0,
    /// The circuit refuses the call. It is no error: it is what a breaker is for.
    SF_REJECTED = 1,
    /// An argument is NULL that mustn't be, a number is out of its range, or a struct's `size` is none that is known.
    SF_INVALID_ARGUMENT = 2,
    /// A text isn't UTF-8.
    SF_INVALID_UTF8 = 3,
    /// These bytes are no permit: it was never taken, or taking it had failed.
    SF_INVALID_PERMIT = 4,
    /// The permit is settled already. It was not counted twice.
    SF_PERMIT_SETTLED = 5,
    /// A score is not finite, or over 10^6 in magnitude.
    SF_INVALID_SCORE = 6,
    /// A policy's text is wrong: `sf_error_problem` tells each problem.
    SF_INVALID_POLICY = 7,
    /// A file can't be read.
    SF_UNREADABLE = 8,
    /// A component can't be loaded: it is none, imports what it isn't granted, or doesn't keep its contract.
    SF_NOT_LOADED = 9,
    /// A breaker of this name exists with a policy of another meaning.
    SF_POLICY_DIFFERS = 10,
    /// The conditions that were handed in are not those that the policy names.
    SF_CONDITIONS_DIFFER = 11,
    /// There is no room for as many breakers.
    SF_NO_ROOM = 12,
    /// The name is taken, by a family of keyed breakers say.
    SF_NAME_TAKEN = 13,
    /// A snapshot can't be restored: it is damaged, or of another policy.
    SF_NOT_RESTORED = 14,
    /// The breaker component failed. The next call starts it anew.
    SF_COMPONENT_FAILED = 15,
    /// A scorer doesn't start, or refuses its configuration.
    SF_SCORER_FAILED = 16,
    /// A bulkhead's places are taken, and no further caller may wait.
    SF_BULKHEAD_FULL = 17,
    /// No place of a bulkhead came free in time.
    SF_BULKHEAD_TIMED_OUT = 18,
    /// There is nothing of this name.
    SF_NOT_FOUND = 19,
    /// No provider of a chain gave an answer.
    SF_NO_PROVIDER = 20,
    /// The system gave no thread.
    SF_SYSTEM = 21,
    /// Too many answers wait to be scored: this one isn't.
    SF_BUSY = 22,
    /// The library failed by a mistake of its own. It may have done a part of what was asked; it can be used on.
    SF_PANICKED = 99,
}

use sf_code::*;

impl sf_code {
    const ALL: [Self; 24] = [
        SF_OK,
        SF_REJECTED,
        SF_INVALID_ARGUMENT,
        SF_INVALID_UTF8,
        SF_INVALID_PERMIT,
        SF_PERMIT_SETTLED,
        SF_INVALID_SCORE,
        SF_INVALID_POLICY,
        SF_UNREADABLE,
        SF_NOT_LOADED,
        SF_POLICY_DIFFERS,
        SF_CONDITIONS_DIFFER,
        SF_NO_ROOM,
        SF_NAME_TAKEN,
        SF_NOT_RESTORED,
        SF_COMPONENT_FAILED,
        SF_SCORER_FAILED,
        SF_BULKHEAD_FULL,
        SF_BULKHEAD_TIMED_OUT,
        SF_NOT_FOUND,
        SF_NO_PROVIDER,
        SF_SYSTEM,
        SF_BUSY,
        SF_PANICKED,
    ];

    const fn text(self) -> &'static CStr {
        match self {
            SF_OK => c"done",
            SF_REJECTED => c"the circuit refuses the call",
            SF_INVALID_ARGUMENT => c"an argument is wrong",
            SF_INVALID_UTF8 => c"a text isn't UTF-8",
            SF_INVALID_PERMIT => c"this is no permit",
            SF_PERMIT_SETTLED => c"the permit is settled already",
            SF_INVALID_SCORE => c"a score is not finite, or over 10^6 in magnitude",
            SF_INVALID_POLICY => c"the policy's text is wrong",
            SF_UNREADABLE => c"a file can't be read",
            SF_NOT_LOADED => c"a component can't be loaded",
            SF_POLICY_DIFFERS => c"the breaker exists with another policy",
            SF_CONDITIONS_DIFFER => c"the conditions are not those that the policy names",
            SF_NO_ROOM => c"there is no room for as many breakers",
            SF_NAME_TAKEN => c"the name is taken",
            SF_NOT_RESTORED => c"the snapshot can't be restored",
            SF_COMPONENT_FAILED => c"the breaker component failed",
            SF_SCORER_FAILED => c"the scorer doesn't start, or refuses its configuration",
            SF_BULKHEAD_FULL => c"the bulkhead is full",
            SF_BULKHEAD_TIMED_OUT => c"no place of the bulkhead came free in time",
            SF_NOT_FOUND => c"there is nothing of this name",
            SF_NO_PROVIDER => c"no provider gave an answer",
            SF_SYSTEM => c"the system gave no thread",
            SF_BUSY => c"too many answers wait to be scored",
            SF_PANICKED => c"the library failed by a mistake of its own",
        }
    }
}

/// A code in words: a string that lives for ever. For a number that is no code it says so. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sf_code_text(code: i32) -> *const c_char {
    let known = sf_code::ALL.into_iter().find(|known| *known as i32 == code);
    known.map_or(c"an unknown code", sf_code::text).as_ptr()
}

/// Where a circuit stands.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_state {
    /// Calls flow.
    SF_CLOSED = 0,
    /// Calls are refused until the open period has passed.
    SF_OPEN = 1,
    /// A few calls at a time are admitted as probes.
    SF_HALF_OPEN = 2,
    /// An operator refuses every call until `sf_breaker_reset`.
    SF_FORCED_OPEN = 3,
    /// An operator admits every call; outcomes change totals only.
    SF_DISABLED = 4,
    /// Every call is admitted and recorded; what would have tripped is said and never refused.
    SF_METRICS_ONLY = 5,
}

impl sf_state {
    pub(crate) const fn of(state: State) -> i32 {
        let state = match state {
            State::Closed => Self::SF_CLOSED,
            State::Open => Self::SF_OPEN,
            State::HalfOpen => Self::SF_HALF_OPEN,
            State::ForcedOpen => Self::SF_FORCED_OPEN,
            State::Disabled => Self::SF_DISABLED,
            State::MetricsOnly => Self::SF_METRICS_ONLY,
        };
        state as i32
    }

    pub(crate) fn operator(state: i32) -> Result<OperatorState, Fault> {
        const FORCED_OPEN: i32 = sf_state::SF_FORCED_OPEN as i32;
        const DISABLED: i32 = sf_state::SF_DISABLED as i32;
        const METRICS_ONLY: i32 = sf_state::SF_METRICS_ONLY as i32;
        match state {
            FORCED_OPEN => Ok(OperatorState::ForcedOpen),
            DISABLED => Ok(OperatorState::Disabled),
            METRICS_ONLY => Ok(OperatorState::MetricsOnly),
            other => Err(Fault::argument(&format!(
                "`state` is {other}, and may be SF_FORCED_OPEN, SF_DISABLED or SF_METRICS_ONLY"
            ))),
        }
    }
}

/// A state's name, as in `half-open`: a string that lives for ever. For a number that is no state it says so. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sf_state_name(state: i32) -> *const c_char {
    let name = match usize::try_from(state).ok().and_then(|at| State::ALL.get(at)) {
        Some(State::Closed) => c"closed",
        Some(State::Open) => c"open",
        Some(State::HalfOpen) => c"half-open",
        Some(State::ForcedOpen) => c"forced-open",
        Some(State::Disabled) => c"disabled",
        Some(State::MetricsOnly) => c"metrics-only",
        None => c"an unknown state",
    };
    name.as_ptr()
}

/// How a guarded call ended.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_kind {
    /// The service answered. Whether the answer was any good is the score's matter.
    SF_SUCCESS = 0,
    /// A failure of the service: a broken connection, a 5xx, a broken stream.
    SF_ERROR = 1,
    /// A failure: no answer in time.
    SF_TIMEOUT = 2,
    /// A failure: the service refused for its rate limit (429).
    SF_RATE_LIMITED = 3,
    /// A failure: the service refused for its load (503, 529).
    SF_OVERLOADED = 4,
    /// Neutral: the caller went away.
    SF_CANCELLED = 5,
    /// Neutral: the service refused what was asked, by its content policy.
    SF_CONTENT_POLICY = 6,
    /// Neutral: the request was bad by itself.
    SF_BAD_REQUEST = 7,
}

impl sf_kind {
    pub(crate) fn of(kind: OutcomeKind) -> i32 {
        let at = OutcomeKind::ALL.iter().position(|one| *one == kind);
        at.and_then(|at| i32::try_from(at).ok()).unwrap_or(-1)
    }

    #[inline]
    pub(crate) fn take(kind: i32) -> Option<OutcomeKind> {
        OutcomeKind::ALL.get(usize::try_from(kind).ok()?).copied()
    }
}

/// A kind's name, as in `rate-limited`: a string that lives for ever. For a number that is no kind it says so. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sf_kind_name(kind: i32) -> *const c_char {
    let name = match sf_kind::take(kind) {
        Some(OutcomeKind::Success) => c"success",
        Some(OutcomeKind::Error) => c"error",
        Some(OutcomeKind::Timeout) => c"timeout",
        Some(OutcomeKind::RateLimited) => c"rate-limited",
        Some(OutcomeKind::Overloaded) => c"overloaded",
        Some(OutcomeKind::Cancelled) => c"cancelled",
        Some(OutcomeKind::ContentPolicy) => c"content-policy",
        Some(OutcomeKind::BadRequest) => c"bad-request",
        None => c"an unknown kind",
    };
    name.as_ptr()
}

/// What a response with this HTTP status counts as, an `sf_kind`, in every host of Softfuse. Below 400: `SF_SUCCESS`. 408, 504:
/// `SF_TIMEOUT`. 429: `SF_RATE_LIMITED`. 503, 529: `SF_OVERLOADED`. 499: `SF_CANCELLED`. 451: `SF_CONTENT_POLICY`. 401, 402, 403,
/// 404, 407: `SF_ERROR`, since the provider, as it is set up, serves nobody. Every other 4xx: `SF_BAD_REQUEST`. All else:
/// `SF_ERROR`. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sf_kind_of_http_status(status: u16) -> i32 {
    sf_kind::of(OutcomeKind::from_http_status(status))
}

/// What an outcome says of its answer's quality.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_signal {
    /// Nothing; the score that was reported on the permit takes its place. Without any, under `require_quality_signal`, a
    /// success records the policy's `missing_score`.
    SF_NO_SCORE = 0,
    /// The outcome's `score`, which wins over one that was reported.
    SF_SCORE = 1,
    /// The score comes later: whoever settles owes the settled permit a score, or `sf_permit_report_missing`.
    SF_PENDING = 2,
}

/// What became of a settled outcome or a late score.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_effect {
    /// It took its place in the windows.
    SF_RECORDED = 0,
    /// It was a probe's, and the probe passed or failed by it.
    SF_PROBED = 1,
    /// Totals changed, nothing else: a neutral outcome, or any outcome of a disabled circuit. For a late score: nothing changed,
    /// since its call's outcome was neutral, or the circuit is disabled.
    SF_IGNORED = 2,
    /// The permit belongs to an earlier generation or to a probe that is gone: totals changed, nothing else. For a late score:
    /// nothing changed.
    SF_STALE = 3,
    /// Kept: a score that was reported before its call was settled, or a probe's outcome whose score is owed.
    SF_KEPT = 4,
    /// Nothing was recorded: the breaker component failed, or had failed when the permit was taken.
    SF_LOST = 5,
}

impl sf_effect {
    pub(crate) const fn of(effect: Effect) -> i32 {
        let effect = match effect {
            Effect::Recorded => Self::SF_RECORDED,
            Effect::Probed => Self::SF_PROBED,
            Effect::Ignored => Self::SF_IGNORED,
            Effect::Stale => Self::SF_STALE,
            Effect::Pending => Self::SF_KEPT,
            Effect::Lost => Self::SF_LOST,
        };
        effect as i32
    }
}
