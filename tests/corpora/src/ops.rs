//! What an input's bytes spell: steps of a history, hostile ones among them.

use arbitrary::{Arbitrary, Unstructured};
use softfuse_core::time::{MILLISECOND, SECOND};
use softfuse_core::{OutcomeKind, QualityReport, Signal};

/// Most steps of one input: each step checks the whole status.
const OPS_MAX: usize = 200;
/// Most entries of one leased batch.
pub const BATCH_MAX: usize = 24;

/// A span or an instant: near those that matter, or any.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Span {
    /// None.
    Zero,
    /// Up to 255 ms.
    Millis(u8),
    /// Up to 255 s.
    Seconds(u8),
    /// Any.
    Raw(u64),
    /// The largest that there is.
    Most,
}

impl Span {
    /// In nanoseconds.
    pub fn nanos(self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Millis(millis) => u64::from(millis) * MILLISECOND,
            Self::Seconds(seconds) => u64::from(seconds) * SECOND,
            Self::Raw(nanos) => nanos,
            Self::Most => u64::MAX,
        }
    }
}

/// A score, or a number that is none.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Number {
    /// From 0 to 1 in steps of 1/255.
    Share(u8),
    /// Any bits: NaN, infinities, magnitudes without a bound.
    Any(f64),
}

impl Number {
    /// The number.
    pub fn value(self) -> f64 {
        match self {
            Self::Share(share) => f64::from(share) / 255.0,
            Self::Any(number) => number,
        }
    }
}

/// A signal.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum SignalIn {
    /// None.
    None,
    /// A score.
    Score(Number),
    /// Owed.
    Pending,
}

impl SignalIn {
    /// As the breaker takes it.
    pub fn signal(self) -> Signal {
        match self {
            Self::None => Signal::None,
            Self::Score(score) => Signal::Score(score.value()),
            Self::Pending => Signal::Pending,
        }
    }
}

/// How a call ends.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Ending {
    kind: u8,
    /// Its latency.
    pub latency: Span,
    /// Its signal.
    pub signal: SignalIn,
    /// Its `Retry-After`.
    pub retry_after: Option<Span>,
    /// A bit for each verdict of the host's own conditions; the highest bit makes one too many.
    pub verdicts: u8,
}

impl Ending {
    /// An ending whose kind is chosen as an input's byte chooses it.
    pub fn new(kind: u8, latency: Span, signal: SignalIn) -> Self {
        Self { kind, latency, signal, retry_after: None, verdicts: 0 }
    }

    /// Its kind.
    pub fn kind(&self) -> OutcomeKind {
        use OutcomeKind::{BadRequest, Cancelled, ContentPolicy, Error, Overloaded, RateLimited, Success, Timeout};
        // Successes and errors more often than the rest, or no window would ever tell them apart.
        const KINDS: [OutcomeKind; 12] = [
            Success,
            Error,
            Success,
            Timeout,
            Success,
            RateLimited,
            Success,
            Overloaded,
            Error,
            Cancelled,
            ContentPolicy,
            BadRequest,
        ];
        KINDS[usize::from(self.kind) % KINDS.len()]
    }
}

/// A late score.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Report {
    /// It has come.
    Score(Number),
    /// It won't come.
    Missing,
}

impl Report {
    /// As the breaker takes it.
    pub fn report(self) -> QualityReport {
        match self {
            Self::Score(score) => QualityReport::Score(score.value()),
            Self::Missing => QualityReport::Missing,
        }
    }
}

/// Which permit a step uses.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Which {
    /// The newest that was given.
    Newest,
    /// One that was given, so many before the newest.
    Given(u8),
    /// Of a generation and a number near those that are given out.
    Near(u8, u8),
    /// Out of thin air.
    Bits(u64),
}

/// An entry of a leased batch.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum EntryIn {
    /// A success.
    Success(Span, Option<i64>, bool),
    /// A late score.
    Late(Option<i64>),
}

/// One step.
#[derive(Arbitrary, Clone, Debug)]
pub enum Op {
    /// Asks for a permit.
    Before,
    /// Asks, and settles at once, up to 8 times.
    Calls(u8, Ending),
    /// Settles a permit.
    Settle(Which, Ending),
    /// Reports a score.
    Report(Which, Report),
    /// Time goes by.
    Advance(Span),
    /// Asks with an earlier time.
    Back(Span),
    /// `reset`.
    Reset,
    /// An operator's state.
    Operator(u8),
    /// A trip by the host.
    Trip(Option<Span>),
    /// Snapshot and restore on the same clock, so much later.
    Reincarnate(u8),
    /// Snapshot and restore on another clock.
    Elsewhere(Span, Span),
    /// Asks for a lease.
    Lease,
    /// Hands in a batch, with a permit of its own choice and refused calls; a clock that steps by so much between the
    /// entries.
    Batch(Which, Span, u64, Vec<EntryIn>),
}

/// The steps that bytes spell, as many as there are.
pub fn ops(bytes: &[u8]) -> Vec<Op> {
    let mut bytes = Unstructured::new(bytes);
    let mut ops = Vec::new();
    while !bytes.is_empty() && ops.len() < OPS_MAX {
        match Op::arbitrary(&mut bytes) {
            Ok(op) => ops.push(op),
            Err(_) => break,
        }
    }
    ops
}
