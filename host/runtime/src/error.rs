//! What can go wrong, by cause.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::types::{PolicyProblem, State, span_nanos};

/// Why the breaker component gave no answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentFailure {
    /// It trapped.
    #[error("the breaker component trapped: {0}")]
    Trapped(String),
    /// It didn't answer within its deadline.
    #[error("the breaker component didn't answer within {0:?}")]
    DeadlineExceeded(Duration),
    /// It asked for more memory than it may have.
    #[error("the breaker component asked for more than its {0} bytes of memory")]
    OutOfMemory(usize),
    /// It answered what its contract forbids.
    #[error("the breaker component answered what its contract forbids: {0}")]
    Nonsense(String),
    /// It could not be instantiated.
    #[error("the breaker component doesn't start: {0}")]
    NotStarting(String),
    /// It refuses a policy that an earlier one took.
    #[error("the breaker component refuses the policy of `{breaker}`: {message}")]
    PolicyRefused {
        /// The breaker.
        breaker: Arc<str>,
        /// The component's problems with it.
        message: String,
    },
    /// It makes no breaker, though it is at work.
    #[error("the breaker component makes no breaker `{breaker}`: {message}")]
    BreakerRefused {
        /// The breaker.
        breaker: Arc<str>,
        /// The component's reason.
        message: String,
    },
    /// It failed so often that it isn't started again for a while.
    #[error("the breaker component failed {failures} times in a row and rests for {rest:?}; the last time: {last}")]
    Resting {
        /// Failures in a row.
        failures: u32,
        /// What is left of the rest.
        rest: Duration,
        /// The last failure.
        last: String,
    },
}

impl ComponentFailure {
    /// A word for it, as in the metric `softfuse_component_failures_total`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Trapped(_) => "trapped",
            Self::DeadlineExceeded(_) => "deadline",
            Self::OutOfMemory(_) => "memory",
            Self::Nonsense(_) => "nonsense",
            Self::NotStarting(_) => "not-starting",
            Self::PolicyRefused { .. } => "policy-refused",
            Self::BreakerRefused { .. } => "breaker-refused",
            Self::Resting { .. } => "resting",
        }
    }
}

/// Why a component could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file can't be read.
    #[error("{}: {message}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        message: String,
    },
    /// The bytes are not a WebAssembly component that this build can run.
    #[error("{source_name}: not a component that can be loaded: {message}")]
    NotAComponent {
        /// The file, or what else the bytes are called.
        source_name: String,
        /// What is wrong with them.
        message: String,
    },
    /// It imports what isn't granted to it.
    #[error("{source_name}: imports what it isn't granted: {}; {granted}", imports.join(", "))]
    NotGranted {
        /// The file, or what else the bytes are called.
        source_name: String,
        /// Every such import, in order.
        imports: Vec<String>,
        /// What a component of this kind may import.
        granted: &'static str,
    },
    /// It lacks an export of its contract, or has it with another type.
    #[error("{source_name}: doesn't keep its contract: {message}")]
    ContractBroken {
        /// The file, or what else the bytes are called.
        source_name: String,
        /// Which export, and what is wrong with it.
        message: String,
    },
    /// The engine can't be set up on this machine.
    #[error("the WebAssembly engine can't be set up: {0}")]
    Engine(String),
}

/// Why a policy could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file can't be read.
    #[error("{}: {message}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        message: String,
    },
    /// The text is longer than [`POLICY_BYTES_MAX`](crate::POLICY_BYTES_MAX).
    #[error("{source_name}: {bytes} bytes long, and a policy has at most {max}")]
    TooLong {
        /// The file, or what else the text is called.
        source_name: String,
        /// Its length.
        bytes: u64,
        /// The bound.
        max: usize,
    },
    /// The text is not a policy.
    #[error("{}", lines(source_name, problems))]
    Invalid {
        /// The file, or what else the text is called.
        source_name: String,
        /// Everything that is wrong with it, in order of appearance.
        problems: Vec<PolicyProblem>,
    },
    /// The breaker component failed at it.
    #[error(transparent)]
    Component(#[from] ComponentFailure),
}

fn lines(source_name: &str, problems: &[PolicyProblem]) -> String {
    problems.iter().map(|problem| format!("{source_name}:{problem}")).collect::<Vec<_>>().join("\n")
}

/// Why a registry gave no breaker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A breaker of this name exists, with another policy.
    #[error("two policies for the breaker `{name}`: it was made with {existing}, and now {requested} is asked for")]
    PolicyDiffers {
        /// The breaker's name.
        name: Arc<str>,
        /// Where the policy of the existing one comes from.
        existing: Arc<str>,
        /// Where the other policy comes from.
        requested: Arc<str>,
    },
    /// The policy names a condition of the host's own that wasn't handed in.
    #[error(
        "the policy {policy} of the breaker `{name}` names the host's condition `{condition}`, which wasn't handed in"
    )]
    ConditionMissing {
        /// The breaker's name.
        name: Arc<str>,
        /// Where the policy comes from.
        policy: Arc<str>,
        /// The condition's name.
        condition: String,
    },
    /// A condition of the host's own was handed in that the policy doesn't name.
    #[error(
        "the policy {policy} of the breaker `{name}` doesn't name the host's condition `{condition}`, which was handed in"
    )]
    ConditionUnknown {
        /// The breaker's name.
        name: Arc<str>,
        /// Where the policy comes from.
        policy: Arc<str>,
        /// The condition's name.
        condition: String,
    },
    /// As many named breakers exist as there may be.
    #[error(
        "no breaker `{name}`: {max} named breakers exist, and no more can (for one per tenant, use a keyed registry)"
    )]
    TooMany {
        /// The name that was asked for.
        name: Arc<str>,
        /// The bound.
        max: usize,
    },
    /// The component would have no room for the breakers, were all their windows full.
    #[error(
        "no room for `{name}` as one of {breakers} breakers: with full windows it takes up to {bytes} bytes, and they may have \
         {instance_bytes_max} of each of {instances} instances of the component: alone, {fit} like it fit; raise \
         `component_memory_bytes_max` or `component_instances`, or have fewer or smaller ones"
    )]
    NoRoom {
        /// The name that was asked for.
        name: Arc<str>,
        /// The named breakers and this one; or those that a keyed family may have at work, its overflow breaker among them.
        breakers: usize,
        /// What one takes when its windows are full.
        bytes: u64,
        /// What breakers may have of an instance, the snapshot of one included.
        instance_bytes_max: u64,
        /// How many instances there are.
        instances: usize,
        /// How many breakers with this policy there is room for where there are no others.
        fit: u64,
    },
    /// A key of a family is too long to be kept.
    #[error("a key of `{family}` has {bytes} bytes, and may have {max}: hash longer ones")]
    KeyTooLong {
        /// The family's name.
        family: Arc<str>,
        /// The key's length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A keyed family, or a breaker that was to be restored, has a name that is taken.
    #[error("the name `{0}` is taken")]
    NameTaken(Arc<str>),
    /// A snapshot was refused.
    #[error("the snapshot of `{name}` can't be restored: {reason}")]
    NotRestored {
        /// The breaker's name.
        name: Arc<str>,
        /// Why.
        reason: RestoreError,
    },
    /// The breaker component failed at it.
    #[error(transparent)]
    Component(#[from] ComponentFailure),
}

/// Why a snapshot could not be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// These bytes are not a snapshot.
    #[error("these bytes are not a snapshot")]
    NotASnapshot,
    /// A version of the format that the component doesn't read.
    #[error("version {0} of the snapshot's format isn't known to this component")]
    UnknownVersion(u32),
    /// The bytes are damaged.
    #[error("the snapshot is damaged: {0}")]
    Corrupt(String),
    /// It was taken under another policy.
    #[error("it was taken under another policy, with the fingerprint {0:016x}")]
    PolicyDiffers(u64),
    /// It is longer than the snapshot of a breaker with this policy can be.
    #[error("it has {bytes} bytes, and what `Breaker::snapshot` gives under this policy has at most {max}")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The longest that there can be.
        max: u64,
    },
    /// The component failed at it, as it never does at a snapshot that is whole. It was tried apart from all breakers.
    #[error("{0}; hand in the bytes that `Breaker::snapshot` gave, unchanged")]
    Failed(ComponentFailure),
    /// Another reason, for people to read.
    #[error("{0}")]
    Other(String),
}

/// A refusal: the circuit is open, or half-open with all its probes under way. It is no error of the service; it is
/// what the breaker is for. What there is to say of it is found through it, as in `rejected.state`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Rejected {
    /// Until the next change all refusals share it: so they are cheap, and a guarded call's result is small.
    refusal: Arc<Refusal>,
    /// In nanoseconds, or [`UNKNOWN`]. Not a `Duration`, in whose unused values a result would say which of its kinds it is:
    /// they are half a word, and a processor waits where it reads whole words of what was written by halves.
    retry_after: u64,
}

/// Nobody knows how long to wait.
const UNKNOWN: u64 = u64::MAX;

/// What a circuit's refusals have in common until it changes: what a [`Rejected`] says beside how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The breaker's name.
    pub breaker: Arc<str>,
    /// Where the circuit stands; the last that is known where the component failed.
    pub state: State,
    /// Why it last opened, in words. `None` where an operator opened a circuit that had never tripped.
    pub reason: Option<Arc<str>>,
    /// How often the circuit has opened since it was made or last reset.
    pub trip_count: u64,
    /// Where the breaker component failed, and the registry fails closed: how.
    pub component_failure: Option<ComponentFailure>,
}

impl Deref for Rejected {
    type Target = Refusal;

    fn deref(&self) -> &Refusal {
        &self.refusal
    }
}

impl Rejected {
    /// A refusal, and how long to wait.
    #[must_use]
    pub fn new(refusal: impl Into<Arc<Refusal>>, retry_after: Option<Duration>) -> Self {
        Self::of_nanos(refusal, retry_after.map(span_nanos))
    }

    /// [`new`](Self::new), where the span is known in nanoseconds.
    pub(crate) fn of_nanos(refusal: impl Into<Arc<Refusal>>, retry_after: Option<u64>) -> Self {
        Self { refusal: refusal.into(), retry_after: retry_after.unwrap_or(UNKNOWN) }
    }

    /// How long to wait: exact while open; `None` while half-open is full or forced open, since nobody knows.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        if self.retry_after == UNKNOWN { None } else { Some(Duration::from_nanos(self.retry_after)) }
    }

    fn text(&self) -> String {
        if let Some(failure) = &self.component_failure {
            return format!("circuit `{}`: refused, since {failure}", self.breaker);
        }
        let mut text = format!("circuit `{}` is {}", self.breaker, self.state);
        if let Some(reason) = &self.reason {
            text.push_str(&format!(": {reason}"));
        }
        if let Some(span) = self.retry_after() {
            text.push_str(&format!(" (retry after {span:?})"));
        }
        text
    }
}

/// Why a guarded call gave no value.
///
/// As an error it has no `source`, and shows the call's own error as its text. For a source, `E` would have to be an error
/// itself, and the errors most used for a call are none: `Box<dyn Error>`, `anyhow::Error`. [`failed`](Self::failed) gives
/// it, and with it whatever it stems from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// It wasn't made.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It was made, and failed.
    #[error("{0}")]
    Failed(E),
}

impl<E> CallError<E> {
    /// The refusal, where it is one.
    #[must_use]
    pub const fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::Failed(_) => None,
        }
    }

    /// The call's own error, where it was made and failed.
    #[must_use]
    pub const fn failed(&self) -> Option<&E> {
        match self {
            Self::Rejected(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}
