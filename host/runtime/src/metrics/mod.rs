//! Prometheus metrics: what every breaker did, as numbers.
//!
//! | metric | what |
//! |---|---|
//! | `softfuse_state{breaker}` | 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 metrics-only |
//! | `softfuse_keyed_breakers{breaker,state}` | breakers of a keyed family that are in this state |
//! | `softfuse_trip_total{breaker}` | openings, re-openings included |
//! | `softfuse_call_total{breaker,outcome}` | calls: `success`, `failure`, `neutral`, `rejected` |
//! | `softfuse_unguarded_total{breaker}` | calls that were admitted without a breaker, since its component had failed |
//! | `softfuse_leased_total{breaker}` | outcomes and late scores that were recorded together, under a lease |
//! | `softfuse_quality_score{breaker}` | scores, reported with the outcome or later |
//! | `softfuse_latency_seconds{breaker}` | latencies of settled calls |
//! | `softfuse_component_failures_total{reason}` | the breaker component's failures |
//! | `softfuse_component_restarts_total` | its restarts |
//! | `softfuse_records_lost_total` | records that were lost by a failure, since the last snapshot |
//! | `softfuse_scorer_failures_total{breaker,scorer,reason}` | scorers that gave no score, abstentions not counted |
//! | `softfuse_scorer_dropped_total{breaker,scorer}` | answers that were not scored, since too many waited |
//! | `softfuse_events_dropped_total` | events that nobody was told of, since too many waited |
//!
//! A keyed family's breakers share one `breaker` label, the family's name: a label per tenant would have no bound. A breaker
//! that its registry forgets takes its series with it.
//!
//! Breakers count into plain numbers, each thread into its own, and a collector reads those when it is asked: so threads don't
//! wait for each other, where a histogram of the library's would lock for every sample.

mod exposition;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::ComponentFailure;
use crate::scorer::ScorerFailure;
use crate::types::State;
use exposition::Exposition;
pub(crate) use tally::{Count, Tallies};
pub use tally::{LATENCY_BUCKETS_SECONDS, SCORE_BUCKETS};

/// The content type of [`Registry::metrics_text`](crate::Registry::metrics_text).
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a registry.
pub(crate) struct Metrics {
    series: Arc<Mutex<BTreeMap<Arc<str>, Arc<BreakerMeters>>>>,
    component: Arc<ComponentMeters>,
    /// Of the machine: threads that may meet.
    cores: usize,
    registry: prometheus_client::registry::Registry,
}

/// What is counted of the breaker component.
#[derive(Debug, Default)]
pub(crate) struct ComponentMeters {
    failures: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) restarts: AtomicU64,
    pub(crate) records_lost: AtomicU64,
}

/// What one breaker counts, or the breakers of one keyed family together.
#[derive(Debug)]
pub(crate) struct BreakerMeters {
    name: Arc<str>,
    state: StateMeter,
    pub(crate) tallies: Tallies,
    scorers: Mutex<BTreeMap<Arc<str>, ScorerTally>>,
}

#[derive(Debug)]
enum StateMeter {
    Named(AtomicU8),
    /// Breakers in each state.
    Keyed([AtomicI64; State::ALL.len()]),
}

#[derive(Clone, Debug, Default)]
struct ScorerTally {
    dropped: u64,
    failures: BTreeMap<&'static str, u64>,
}

impl Metrics {
    pub(crate) fn new(events_dropped: Arc<AtomicU64>, cores: usize) -> Self {
        let (series, component) = (Arc::default(), Arc::new(ComponentMeters::default()));
        let mut registry = prometheus_client::registry::Registry::with_prefix("softfuse");
        let exposition = Exposition { series: Arc::clone(&series), component: Arc::clone(&component), events_dropped };
        registry.register_collector(Box::new(exposition));
        Self { series, component, cores, registry }
    }

    pub(crate) fn component(&self) -> &Arc<ComponentMeters> {
        &self.component
    }

    /// The exposition, in the OpenMetrics text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string doesn't fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// Begins the series of a named breaker, in the place of one that was forgotten.
    pub(crate) fn named(&self, name: &Arc<str>) -> Arc<BreakerMeters> {
        self.begin(name, StateMeter::Named(AtomicU8::new(State::Closed.as_metric())))
    }

    /// Begins the series that a keyed family's breakers share.
    pub(crate) fn keyed(&self, family: &Arc<str>) -> Arc<BreakerMeters> {
        self.begin(family, StateMeter::Keyed(Default::default()))
    }

    fn begin(&self, name: &Arc<str>, state: StateMeter) -> Arc<BreakerMeters> {
        let (name, tallies) = (Arc::clone(name), Tallies::new(self.cores));
        let meters = BreakerMeters { name: Arc::clone(&name), state, tallies, scorers: Mutex::default() };
        let meters = Arc::new(meters);
        self.series.lock().insert(name, Arc::clone(&meters));
        meters
    }

    /// Ends a series. Who holds the breaker still counts, and nobody reads it.
    pub(crate) fn end(&self, name: &str) {
        self.series.lock().remove(name);
    }
}

impl ComponentMeters {
    pub(crate) fn failed(&self, failure: &ComponentFailure) {
        *self.failures.lock().entry(failure.as_str()).or_default() += 1;
    }
}

impl BreakerMeters {
    /// A breaker appeared, in this state.
    pub(crate) fn appeared(&self, state: State) {
        match &self.state {
            StateMeter::Named(known) => known.store(state.as_metric(), Ordering::Relaxed),
            StateMeter::Keyed(counts) => drop(counts[usize::from(state.as_metric())].fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// A breaker of a keyed family went away.
    pub(crate) fn vanished(&self, state: State) {
        if let StateMeter::Keyed(counts) = &self.state {
            counts[usize::from(state.as_metric())].fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn changed(&self, old: State, new: State, trip: bool) {
        if old != new {
            self.vanished(old);
            self.appeared(new);
        }
        if trip {
            self.tallies.count(Count::Trips, 1);
        }
    }

    /// A scorer gave no score, and did not abstain.
    pub(crate) fn scorer_failed(&self, scorer: &Arc<str>, failure: &ScorerFailure) {
        let mut scorers = self.scorers.lock();
        *scorers.entry(Arc::clone(scorer)).or_default().failures.entry(failure.as_str()).or_default() += 1;
    }

    /// An answer was not scored, since too many waited.
    pub(crate) fn scorer_dropped(&self, scorer: &Arc<str>) {
        self.scorers.lock().entry(Arc::clone(scorer)).or_default().dropped += 1;
    }
}
