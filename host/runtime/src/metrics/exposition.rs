//! Reads what the breakers have counted, when somebody asks for the metrics.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::tally::Sampled;
use super::{BreakerMeters, ComponentMeters, Count, ScorerTally, StateMeter};
use crate::types::State;

/// What there is to read.
#[derive(Debug)]
pub(super) struct Exposition {
    pub(super) series: Arc<Mutex<BTreeMap<Arc<str>, Arc<BreakerMeters>>>>,
    pub(super) component: Arc<ComponentMeters>,
    pub(super) events_dropped: Arc<AtomicU64>,
}

/// A series as of one moment.
struct Read {
    meters: Arc<BreakerMeters>,
    scorers: BTreeMap<Arc<str>, ScorerTally>,
}

impl Read {
    fn name(&self) -> &str {
        &self.meters.name
    }

    fn count(&self, what: Count) -> u64 {
        self.meters.tallies.counted(what)
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let series: Vec<Arc<BreakerMeters>> = self.series.lock().values().cloned().collect();
        let read = |meters: Arc<BreakerMeters>| {
            let scorers = meters.scorers.lock().clone();
            Read { meters, scorers }
        };
        let series: Vec<Read> = series.into_iter().map(read).collect();
        states(&mut encoder, &series)?;
        calls(&mut encoder, &series)?;
        samples(&mut encoder, &series)?;
        self.component(&mut encoder)?;
        scorers(&mut encoder, &series)
    }
}

fn count(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, count: u64) -> Result<(), Error> {
    metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn histogram(metric: &mut MetricEncoder<'_>, breaker: &str, samples: &Sampled) -> Result<(), Error> {
    let labels = [("breaker", breaker)];
    metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(samples.sum, samples.count, &samples.buckets, None)
}

fn states(encoder: &mut DescriptorEncoder<'_>, series: &[Read]) -> Result<(), Error> {
    let help = "Where the circuit stands: 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 metrics-only.";
    let mut metric = encoder.encode_descriptor("state", help, None, MetricType::Gauge)?;
    for one in series {
        if let StateMeter::Named(state) = &one.meters.state {
            let labels = [("breaker", one.name())];
            metric.encode_family(&labels)?.encode_gauge(&i64::from(state.load(Ordering::Relaxed)))?;
        }
    }
    let help = "Breakers of a keyed family that are in this state.";
    let mut metric = encoder.encode_descriptor("keyed_breakers", help, None, MetricType::Gauge)?;
    for one in series {
        if let StateMeter::Keyed(counts) = &one.meters.state {
            for (state, count) in State::ALL.iter().zip(counts) {
                let labels = [("breaker", one.name()), ("state", state.as_str())];
                metric.encode_family(&labels)?.encode_gauge(&count.load(Ordering::Relaxed))?;
            }
        }
    }
    Ok(())
}

// The exposition adds `_total` to every counter's name.
fn calls(encoder: &mut DescriptorEncoder<'_>, series: &[Read]) -> Result<(), Error> {
    let help = "Openings, re-openings included.";
    let mut metric = encoder.encode_descriptor("trip", help, None, MetricType::Counter)?;
    for one in series {
        count(&mut metric, &[("breaker", one.name())], one.count(Count::Trips))?;
    }
    let mut metric = encoder.encode_descriptor("call", "Calls by how they ended.", None, MetricType::Counter)?;
    for one in series {
        let outcomes = [
            ("success", one.meters.tallies.successes()),
            ("failure", one.count(Count::Failures)),
            ("neutral", one.count(Count::Neutral)),
            ("rejected", one.count(Count::Rejected)),
        ];
        for (outcome, calls) in outcomes {
            count(&mut metric, &[("breaker", one.name()), ("outcome", outcome)], calls)?;
        }
    }
    let help = "Calls that were admitted without a breaker, since its component had failed.";
    let mut metric = encoder.encode_descriptor("unguarded", help, None, MetricType::Counter)?;
    for one in series {
        count(&mut metric, &[("breaker", one.name())], one.count(Count::Unguarded))?;
    }
    let help = "Outcomes and late scores that were recorded together, under a lease.";
    let mut metric = encoder.encode_descriptor("leased", help, None, MetricType::Counter)?;
    for one in series {
        count(&mut metric, &[("breaker", one.name())], one.count(Count::Leased))?;
    }
    Ok(())
}

fn samples(encoder: &mut DescriptorEncoder<'_>, series: &[Read]) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor("quality_score", "Scores of answers.", None, MetricType::Histogram)?;
    for one in series {
        histogram(&mut metric, one.name(), &one.meters.tallies.scores())?;
    }
    let help = "Latencies of settled calls.";
    let mut metric = encoder.encode_descriptor("latency_seconds", help, None, MetricType::Histogram)?;
    for one in series {
        histogram(&mut metric, one.name(), &one.meters.tallies.latencies())?;
    }
    Ok(())
}

impl Exposition {
    fn component(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Failures of the breaker component.";
        let mut metric = encoder.encode_descriptor("component_failures", help, None, MetricType::Counter)?;
        for (reason, failures) in self.component.failures.lock().iter() {
            count(&mut metric, &[("reason", *reason)], *failures)?;
        }
        let plain = [
            ("component_restarts", "Restarts of the breaker component.", &self.component.restarts),
            ("records_lost", "Records that a failure of the breaker component lost.", &self.component.records_lost),
            ("events_dropped", "Events that nobody was told of.", &*self.events_dropped),
        ];
        for (name, help, counter) in plain {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&counter.load(Ordering::Relaxed), None)?;
        }
        Ok(())
    }
}

fn scorers(encoder: &mut DescriptorEncoder<'_>, series: &[Read]) -> Result<(), Error> {
    let help = "Scorers that gave no score.";
    let mut metric = encoder.encode_descriptor("scorer_failures", help, None, MetricType::Counter)?;
    for one in series {
        for (scorer, tally) in &one.scorers {
            for (reason, failures) in &tally.failures {
                let labels = [("breaker", one.name()), ("scorer", scorer), ("reason", *reason)];
                count(&mut metric, &labels, *failures)?;
            }
        }
    }
    let help = "Answers that were not scored.";
    let mut metric = encoder.encode_descriptor("scorer_dropped", help, None, MetricType::Counter)?;
    for one in series {
        for (scorer, tally) in one.scorers.iter().filter(|(_, tally)| tally.dropped > 0) {
            count(&mut metric, &[("breaker", one.name()), ("scorer", scorer)], tally.dropped)?;
        }
    }
    Ok(())
}
