//! A circuit breaker for services that fail softly: it trips on bad *answers*, not only on errors and latency.
//!
//! ```
//! use softfuse::Registry;
//!
//! let registry = Registry::new()?;
//! let policy = registry.policy("example", "[trip_on]\nconsecutive_failures = { n = 2 }")?;
//! let breaker = registry.breaker("llm", &policy)?;
//! let answer = breaker.call(|permit| {
//!     let answer = "Paris"; // Ask the model here: no lock is held meanwhile.
//!     permit.report_quality(0.9).map(|()| answer)
//! })?;
//! assert_eq!((answer, breaker.is_open()), ("Paris", false));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The logic is one WebAssembly component, the same for every host in every language; this library embeds it. A
//! [`Registry`] makes [`Breaker`]s, each with a [`Policy`]. A call takes a [`Permit`], or gets a refusal, [`Rejected`];
//! [`Breaker::call`], [`Breaker::call_async`] and [`Guard`] do that around a function, and [`BreakerLayer`] around a tower
//! service. [`Scorer`]s, components too, say how good answers are, beside the call ([`Scoring`]), before the answer is
//! passed on, or as its pieces pass ([`AnswerStream`]). Whoever else judges an answer, at whatever time, says so to the
//! call's [`Reporter`]. Around breakers stand [`Bulkhead`]s, which bound how many calls are made at once, [`Providers`] in a
//! [`Chain`], and a registry's [`Health`]. What happens comes out as [`Event`]s, Prometheus metrics ([`Registry::metrics_text`]) and `tracing`.

mod around;
mod bindings;
mod breaker;
mod calls;
mod caught;
mod clock;
mod component;
pub mod components;
mod condition;
mod engine;
mod error;
mod events;
mod guard;
mod limits;
mod metrics;
mod policy;
mod registry;
mod scorer;
mod text;
#[cfg(feature = "tower")]
mod tower;
mod types;

pub use around::{
    AsyncAttempt, Attempt, Bulkhead, BulkheadCounts, BulkheadError, BulkheadSettings, Chain, ChainError, CircuitHealth,
    FamilyHealth, Health, InvalidBulkhead, MoveOn, Place, ProviderPreset, Providers, ProvidersError, Tried,
};
pub use breaker::{Breaker, FailureMode, LateScores, Permit, RawPermit, Reported, Reporter, Settled};
pub use clock::{Clock, ManualClock, SystemClock};
pub use components::Builtin;
pub use condition::{CallRecord, Condition, Conditions};
pub use engine::{CacheDir, Engine};
pub use error::{CallError, ComponentFailure, LoadError, PolicyError, Refusal, RegistryError, Rejected, RestoreError};
pub use events::{Listener, Subscription};
pub use guard::{FallbackCause, Guard};
pub use metrics::{LATENCY_BUCKETS_SECONDS, METRICS_CONTENT_TYPE, SCORE_BUCKETS};
pub use policy::{POLICY_BYTES_MAX, Policy};
pub use registry::{Keyed, KeyedSettings, Registry, RegistryBuilder, ReplaceError, ReplaceReport};
pub use scorer::{
    AnswerStream, Body, ConfigProblem, Exchange, ExchangeHead, ScoreOutcome, ScoreStream, Scorer, ScorerError,
    ScorerFailure, ScorerSettings, Scoring, ScoringSettings,
};
#[cfg(feature = "tower")]
pub use tower::{BreakerLayer, BreakerService, ResponseFuture};
pub use types::{
    Cause, CircuitStatus, Effect, Event, EventReason, FailureKind, FailureReport, InvalidScore, OperatorState, Outcome,
    OutcomeKind, PolicyInfo, PolicyProblem, Reading, Score, Signal, State, StateChange, Time, Totals, Transition,
    TripReason, TripReport,
};

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
