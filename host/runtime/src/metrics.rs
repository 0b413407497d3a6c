//! Prometheus metrics: what every breaker did, as numbers.
//!
//! | metric | what |
//! |---|---|
//! | `softfuse_state{breaker}` | 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 metrics-only |
//! | `softfuse_keyed_breakers{breaker,state}` | breakers of a keyed family that are in this state |
//! | `softfuse_trip_total{breaker}` | openings, re-openings included |
//! | `softfuse_call_total{breaker,outcome}` | calls: `success`, `failure`, `neutral`, `rejected` |
//! | `softfuse_quality_score{breaker}` | scores, reported with the outcome or later |
//! | `softfuse_latency_seconds{breaker}` | latencies of settled calls |
//! | `softfuse_component_failures_total{reason}` | the breaker component's failures |
//! | `softfuse_component_restarts_total` | its restarts |
//! | `softfuse_records_lost_total` | records that were lost by a failure, since the last snapshot |
//! | `softfuse_scorer_failures_total{breaker,scorer,reason}` | scorers that gave no score, abstentions not counted |
//! | `softfuse_scorer_dropped_total{breaker,scorer}` | answers that were not scored, since too many waited |
//! | `softfuse_events_dropped_total` | events that nobody was told of, since too many waited |
//!
//! A keyed family's breakers share one `breaker` label, the family's name: a label per tenant would have no bound.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::error::ComponentFailure;
use crate::scorer::ScorerFailure;
use crate::types::{OutcomeKind, State};

/// The content type of [`Registry::metrics_text`](crate::Registry::metrics_text).
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the latency buckets, in seconds: from a cached embedding to a long generation.
pub const LATENCY_BUCKETS_SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];

/// Upper bounds of the score buckets. Scores run from 0 to 1 by convention; what is over falls into the last.
pub const SCORE_BUCKETS: [f64; 13] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0];

/// A label's value that many label sets share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name(Arc<str>);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        (&*self.0).encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByBreaker {
    breaker: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    breaker: Name,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    breaker: Name,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByScorer {
    breaker: Name,
    scorer: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByScorerReason {
    breaker: Name,
    scorer: Name,
    reason: &'static str,
}

type MakeHistogram = fn() -> Histogram;

/// All metrics of a registry.
pub(crate) struct Metrics {
    registry: Mutex<prometheus_client::registry::Registry>,
    state: Family<ByBreaker, Gauge>,
    keyed: Family<ByState, Gauge>,
    trips: Family<ByBreaker, Counter>,
    calls: Family<ByOutcome, Counter>,
    scores: Family<ByBreaker, Histogram, MakeHistogram>,
    latencies: Family<ByBreaker, Histogram, MakeHistogram>,
    component: ComponentMeters,
    scorer_failures: Family<ByScorerReason, Counter>,
    scorer_dropped: Family<ByScorer, Counter>,
    events_dropped: Counter,
}

/// What the slot counts.
#[derive(Clone)]
pub(crate) struct ComponentMeters {
    failures: Family<ByReason, Counter>,
    pub(crate) restarts: Counter,
    pub(crate) records_lost: Counter,
}

impl ComponentMeters {
    pub(crate) fn failed(&self, failure: &ComponentFailure) {
        let reason = match failure {
            ComponentFailure::Trapped(_) => "trapped",
            ComponentFailure::DeadlineExceeded(_) => "deadline",
            ComponentFailure::OutOfMemory(_) => "memory",
            ComponentFailure::Nonsense(_) => "nonsense",
            ComponentFailure::NotStarting(_) => "not-starting",
            ComponentFailure::PolicyRefused { .. } => "policy-refused",
            ComponentFailure::BreakerRefused { .. } => "breaker-refused",
            ComponentFailure::Resting { .. } => "resting",
        };
        self.failures.get_or_create(&ByReason { reason }).inc();
    }
}

/// What one breaker counts, or the breakers of one keyed family together.
#[derive(Clone)]
pub(crate) struct BreakerMeters {
    state: StateMeter,
    trips: Counter,
    successes: Counter,
    failures: Counter,
    neutral: Counter,
    rejected: Counter,
    scores: Histogram,
    latencies: Histogram,
}

#[derive(Clone)]
enum StateMeter {
    Named(Gauge),
    Keyed([Gauge; State::ALL.len()]),
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = prometheus_client::registry::Registry::with_prefix("softfuse");
        let metrics = Self {
            state: Family::default(),
            keyed: Family::default(),
            trips: Family::default(),
            calls: Family::default(),
            scores: Family::new_with_constructor(|| Histogram::new(SCORE_BUCKETS)),
            latencies: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS_SECONDS)),
            component: ComponentMeters {
                failures: Family::default(),
                restarts: Counter::default(),
                records_lost: Counter::default(),
            },
            scorer_failures: Family::default(),
            scorer_dropped: Family::default(),
            events_dropped: Counter::default(),
            registry: Mutex::default(),
        };
        registry.register(
            "state",
            "Where the circuit stands: 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 metrics-only",
            metrics.state.clone(),
        );
        registry.register("keyed_breakers", "Breakers of a keyed family that are in this state", metrics.keyed.clone());
        // The exposition adds `_total` to every counter's name.
        registry.register("trip", "Openings, re-openings included", metrics.trips.clone());
        registry.register("call", "Calls by how they ended", metrics.calls.clone());
        registry.register("quality_score", "Scores of answers", metrics.scores.clone());
        registry.register("latency_seconds", "Latencies of settled calls", metrics.latencies.clone());
        registry.register(
            "component_failures",
            "Failures of the breaker component",
            metrics.component.failures.clone(),
        );
        registry.register(
            "component_restarts",
            "Restarts of the breaker component",
            metrics.component.restarts.clone(),
        );
        registry.register(
            "records_lost",
            "Records that a failure of the breaker component lost",
            metrics.component.records_lost.clone(),
        );
        registry.register("scorer_failures", "Scorers that gave no score", metrics.scorer_failures.clone());
        registry.register("scorer_dropped", "Answers that were not scored", metrics.scorer_dropped.clone());
        registry.register("events_dropped", "Events that nobody was told of", metrics.events_dropped.clone());
        *metrics.registry.lock() = registry;
        metrics
    }

    pub(crate) fn component(&self) -> ComponentMeters {
        self.component.clone()
    }

    /// The exposition, in the OpenMetrics text format.
    pub(crate) fn text(&self, events_dropped: u64) -> String {
        // The hub's own counter is the truth; the metric follows it when it is read.
        let behind = events_dropped.saturating_sub(self.events_dropped.get());
        self.events_dropped.inc_by(behind);
        let mut text = String::new();
        // Writing into a string doesn't fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry.lock());
        text
    }

    /// The meters of a named breaker.
    pub(crate) fn named(&self, name: &Arc<str>) -> BreakerMeters {
        let labels = ByBreaker { breaker: Name(Arc::clone(name)) };
        self.meters(name, StateMeter::Named(self.state.get_or_create_owned(&labels)))
    }

    /// The meters that a keyed family's breakers share.
    pub(crate) fn keyed(&self, family: &Arc<str>) -> BreakerMeters {
        let gauge = |state: State| {
            let labels = ByState { breaker: Name(Arc::clone(family)), state: state.as_str() };
            self.keyed.get_or_create_owned(&labels)
        };
        self.meters(family, StateMeter::Keyed(State::ALL.map(gauge)))
    }

    fn meters(&self, name: &Arc<str>, state: StateMeter) -> BreakerMeters {
        let labels = ByBreaker { breaker: Name(Arc::clone(name)) };
        let calls = |outcome| self.calls.get_or_create_owned(&ByOutcome { breaker: Name(Arc::clone(name)), outcome });
        BreakerMeters {
            state,
            trips: self.trips.get_or_create_owned(&labels),
            successes: calls("success"),
            failures: calls("failure"),
            neutral: calls("neutral"),
            rejected: calls("rejected"),
            scores: self.scores.get_or_create_owned(&labels),
            latencies: self.latencies.get_or_create_owned(&labels),
        }
    }

    pub(crate) fn scorer_failed(&self, breaker: &Arc<str>, scorer: &Arc<str>, failure: &ScorerFailure) {
        let labels = ByScorerReason {
            breaker: Name(Arc::clone(breaker)),
            scorer: Name(Arc::clone(scorer)),
            reason: failure.as_str(),
        };
        self.scorer_failures.get_or_create(&labels).inc();
    }

    pub(crate) fn scorer_dropped(&self, breaker: &Arc<str>, scorer: &Arc<str>) {
        let labels = ByScorer { breaker: Name(Arc::clone(breaker)), scorer: Name(Arc::clone(scorer)) };
        self.scorer_dropped.get_or_create(&labels).inc();
    }
}

impl BreakerMeters {
    /// A breaker appeared, in this state.
    pub(crate) fn appeared(&self, state: State) {
        match &self.state {
            StateMeter::Named(gauge) => drop(gauge.set(i64::from(state.as_metric()))),
            StateMeter::Keyed(gauges) => drop(gauges[usize::from(state.as_metric())].inc()),
        }
    }

    /// A breaker of a keyed family went away.
    pub(crate) fn vanished(&self, state: State) {
        if let StateMeter::Keyed(gauges) = &self.state {
            gauges[usize::from(state.as_metric())].dec();
        }
    }

    pub(crate) fn changed(&self, old: State, new: State, trip: bool) {
        if old != new {
            self.vanished(old);
            self.appeared(new);
        }
        if trip {
            self.trips.inc();
        }
    }

    pub(crate) fn rejected(&self) {
        self.rejected.inc();
    }

    pub(crate) fn settled(&self, kind: OutcomeKind, latency_seconds: f64) {
        if kind.is_failure() {
            self.failures.inc();
        } else if kind.is_neutral() {
            self.neutral.inc();
        } else {
            self.successes.inc();
        }
        self.latencies.observe(latency_seconds);
    }

    pub(crate) fn scored(&self, score: f64) {
        self.scores.observe(score);
    }
}
