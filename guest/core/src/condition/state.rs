//! A leaf's state: its window, or its streak.

use super::Condition;
use crate::event::bounded;
use crate::score::Score;
use crate::time::Nanos;
use crate::window::{Extent, Sample, Samples, Window};
use alloc::boxed::Box;

/// What a condition sees of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) failed: bool,
    pub(crate) latency: Nanos,
    pub(crate) score: Option<Score>,
    /// The verdicts of the host's own conditions: for one that holds, its reason.
    pub(crate) verdicts: &'a [Option<alloc::string::String>],
}

/// The state that a leaf keeps between records.
#[derive(Clone, Debug)]
pub(crate) enum LeafState {
    Window(Samples),
    /// Failures in a row.
    Streak(u32),
    /// The host's verdict on the last record.
    Verdict(Option<Box<str>>),
}

/// Whether a share of the samples is above a rate. Dividing, as the seeds do: 29 of 100 is not above .29, though
/// 29 > .29 * 100 by rounding.
pub(crate) fn rate_exceeds(hits: u32, count: u32, rate: f64) -> bool {
    count > 0 && f64::from(hits) / f64::from(count) > rate
}

/// A latency as a sample's value.
fn nanos(latency: Nanos) -> i64 {
    i64::try_from(latency).unwrap_or(i64::MAX)
}

impl LeafState {
    pub(crate) fn new(condition: &Condition) -> Self {
        match (condition.window(), condition) {
            (Some(window), _) => Self::Window(Samples::new(window.extent, condition.keeps_values())),
            (None, Condition::ConsecutiveFailures { .. }) => Self::Streak(0),
            // What else has no window.
            (None, _) => Self::Verdict(None),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Window(samples) => samples.clear(),
            Self::Streak(streak) => *streak = 0,
            Self::Verdict(verdict) => *verdict = None,
        }
    }

    pub(crate) fn record(&mut self, condition: &Condition, record: &Record<'_>, since_origin: Nanos) {
        match (self, *condition) {
            (state, Condition::QualityBelow { window, .. }) => state.record_score(window, record.score, since_origin),
            (Self::Window(samples), Condition::LatencyAbove { threshold, window }) => {
                let sample = Sample { value: nanos(record.latency), hit: record.latency > threshold };
                push(samples, window.extent, sample, since_origin);
            }
            (Self::Window(samples), Condition::ErrorRateAbove { window, .. }) => {
                push(samples, window.extent, hit(record.failed), since_origin);
            }
            (Self::Window(samples), Condition::SlowCallRateAbove { threshold, window, .. }) => {
                push(samples, window.extent, hit(record.latency > threshold), since_origin);
            }
            (Self::Streak(streak), Condition::ConsecutiveFailures { .. }) => {
                *streak = if record.failed { streak.saturating_add(1) } else { 0 };
            }
            (Self::Verdict(verdict), Condition::Host { index }) => {
                let reason = record.verdicts.get(index as usize).and_then(Option::clone);
                *verdict = reason.map(|reason| bounded(reason).into());
            }
            // `new` pairs a state with its condition, and a policy never changes.
            _ => {}
        }
    }

    /// A window of scores moves on in time with every record, scored or not.
    pub(crate) fn record_score(&mut self, window: Window, score: Option<Score>, since_origin: Nanos) {
        let Self::Window(samples) = self else { return };
        samples.roll(window.extent, since_origin);
        if let Some(score) = score {
            samples.push(window.extent, Sample { value: score.units(), hit: false });
        }
    }

    /// Whether the condition holds now; `failures` overrides the limit of `consecutive_failures`.
    pub(crate) fn holds(&self, condition: &Condition, failures: Option<u32>) -> bool {
        let minimum = condition.window().map_or(0, |window| window.minimum);
        self.holds_from(condition, minimum, failures)
    }

    /// Whether the condition holds, as soon as there are `minimum` samples.
    pub(crate) fn holds_from(&self, condition: &Condition, minimum: u32, failures: Option<u32>) -> bool {
        match (self, *condition) {
            (Self::Streak(streak), Condition::ConsecutiveFailures { n }) => *streak >= failures.unwrap_or(n),
            (Self::Verdict(verdict), Condition::Host { .. }) => verdict.is_some(),
            (Self::Window(samples), condition) => {
                let count = samples.count();
                if count == 0 || count < minimum {
                    return false;
                }
                match condition {
                    Condition::QualityBelow { threshold, .. } => {
                        samples.sum() < i128::from(threshold.units()) * i128::from(count)
                    }
                    Condition::LatencyAbove { .. } => samples.hits() == count,
                    Condition::ErrorRateAbove { rate, .. } | Condition::SlowCallRateAbove { rate, .. } => {
                        rate_exceeds(samples.hits(), count, rate)
                    }
                    Condition::ConsecutiveFailures { .. } | Condition::Host { .. } => false,
                }
            }
            _ => false,
        }
    }
}

impl Record<'_> {
    /// Whether a condition would hold on this call alone, its window shrunk to one. Quality is left out: it is judged
    /// over all probes, once.
    pub(crate) fn alone_holds(&self, condition: &Condition, failures: Option<u32>) -> bool {
        match *condition {
            Condition::QualityBelow { .. } => false,
            Condition::LatencyAbove { threshold, .. } => self.latency > threshold,
            Condition::ErrorRateAbove { rate, .. } => rate_exceeds(u32::from(self.failed), 1, rate),
            Condition::SlowCallRateAbove { rate, threshold, .. } => {
                rate_exceeds(u32::from(self.latency > threshold), 1, rate)
            }
            Condition::ConsecutiveFailures { n } => self.failed && failures.unwrap_or(n) <= 1,
            Condition::Host { index } => self.verdicts.get(index as usize).is_some_and(Option::is_some),
        }
    }
}

fn hit(hit: bool) -> Sample {
    Sample { value: i64::from(hit), hit }
}

fn push(samples: &mut Samples, extent: Extent, sample: Sample, since_origin: Nanos) {
    samples.roll(extent, since_origin);
    samples.push(extent, sample);
}
