//! What a condition says of itself: its reading for a status, its part in a trip.

use super::{Condition, Leaf, LeafState, Record};
use crate::event::bounded;
use crate::score::Score;
use crate::time::{MILLISECOND, Nanos};
use alloc::{
    format,
    string::{String, ToString},
};
use serde::{Deserialize, Serialize};

/// One condition's part in a trip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The condition's place in the policy, as in `any_of[1].error_rate_above`.
    pub path: String,
    /// The measured value: a mean score, a rate from 0 to 1, milliseconds, or a count.
    pub value: f64,
    /// The policy's limit, in the value's unit.
    pub limit: f64,
    /// A sentence with both numbers; for a host's own condition, the reason that it gave.
    pub text: String,
}

/// A condition's state, for a status.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The condition's place in the policy.
    pub path: String,
    /// In the unit of `limit`; none while the window is empty.
    pub value: Option<f64>,
    /// The policy's limit.
    pub limit: f64,
    /// Samples in the window; for `consecutive_failures`, the failures in a row.
    pub filled: u32,
    /// The samples that it takes before the condition can hold.
    pub needed: u32,
    /// Whether it holds now.
    pub holds: bool,
}

/// Nanoseconds as milliseconds, for reports.
fn to_ms(nanos: Nanos) -> f64 {
    nanos as f64 / MILLISECOND as f64
}

/// A number for people: at most four decimal places.
fn shown(value: f64) -> String {
    let scaled = value * 10_000.0;
    if !(-1e15..=1e15).contains(&scaled) {
        return format!("{value}");
    }
    // Half away from zero; `round` needs std.
    let rounded = if scaled < 0.0 { (scaled - 0.5) as i64 } else { (scaled + 0.5) as i64 };
    format!("{}", rounded as f64 / 10_000.0)
}

/// Two numbers for people, exact where rounding would hide their difference.
fn shown_apart(value: f64, limit: f64) -> (String, String) {
    let (shown_value, shown_limit) = (shown(value), shown(limit));
    if shown_value == shown_limit && value != limit {
        (format!("{value}"), format!("{limit}"))
    } else {
        (shown_value, shown_limit)
    }
}

impl LeafState {
    /// What the condition measures now, in the unit of its limit.
    fn value(&self, condition: &Condition) -> Option<f64> {
        match self {
            Self::Streak(streak) => Some(f64::from(*streak)),
            Self::Verdict(verdict) => Some(f64::from(u8::from(verdict.is_some()))),
            Self::Window(samples) => {
                let count = samples.count();
                match condition {
                    _ if count == 0 => None,
                    Condition::QualityBelow { .. } => Some(Score::mean(samples.sum(), count)),
                    // Latencies are never negative.
                    Condition::LatencyAbove { .. } => samples.least().map(|least| to_ms(least.unsigned_abs())),
                    _ => Some(f64::from(samples.hits()) / f64::from(count)),
                }
            }
        }
    }

    pub(crate) fn reading(&self, leaf: &Leaf, failures: Option<u32>) -> Reading {
        let condition = &leaf.condition;
        let filled = match self {
            Self::Window(samples) => samples.count(),
            Self::Streak(streak) => *streak,
            Self::Verdict(verdict) => u32::from(verdict.is_some()),
        };
        let needed = match *condition {
            Condition::ConsecutiveFailures { n } => failures.unwrap_or(n),
            _ => condition.window().map_or(1, |window| window.minimum),
        };
        Reading {
            path: leaf.path.to_string(),
            value: self.value(condition),
            limit: condition.limit(failures),
            filled,
            needed,
            holds: self.holds(condition, failures),
        }
    }

    /// Its part in a trip; only for a condition that holds.
    pub(crate) fn cause(&self, leaf: &Leaf, failures: Option<u32>) -> Cause {
        let count = if let Self::Window(samples) = self { samples.count() } else { 0 };
        let (value, limit) = (self.value(&leaf.condition).unwrap_or(0.0), leaf.condition.limit(failures));
        let text = match (self, &leaf.condition) {
            (Self::Verdict(Some(reason)), _) => reason.to_string(),
            (_, condition) => condition.sentence(value, limit, count),
        };
        Cause { path: leaf.path.to_string(), value, limit, text }
    }
}

impl Condition {
    /// The limit, as a number in the unit of its values.
    fn limit(&self, failures: Option<u32>) -> f64 {
        match *self {
            Self::QualityBelow { threshold, .. } => threshold.to_f64(),
            Self::LatencyAbove { threshold, .. } => to_ms(threshold),
            Self::ErrorRateAbove { rate, .. } | Self::SlowCallRateAbove { rate, .. } => rate,
            Self::ConsecutiveFailures { n } => f64::from(failures.unwrap_or(n)),
            Self::Host { .. } => 1.0,
        }
    }

    fn sentence(&self, value: f64, limit: f64, count: u32) -> String {
        let (value, limit) = shown_apart(value, limit);
        match *self {
            Self::QualityBelow { .. } => format!("the mean quality of {count} scores is {value}, below {limit}"),
            Self::LatencyAbove { .. } => format!("all of {count} calls took {value} ms or more, above {limit} ms"),
            Self::ErrorRateAbove { .. } => format!("the error rate of {count} calls is {value}, above {limit}"),
            Self::SlowCallRateAbove { threshold, .. } => {
                let slow = shown(to_ms(threshold));
                format!("the share of calls over {slow} ms is {value} of {count} calls, above {limit}")
            }
            Self::ConsecutiveFailures { .. } => format!("{value} calls in a row failed, and {limit} are the limit"),
            Self::Host { .. } => String::from("the host's condition holds"),
        }
    }

    /// The part of this condition in the failure of a probe that was judged alone.
    pub(crate) fn probe_cause(&self, path: &str, record: &Record<'_>) -> Cause {
        let limit = self.limit(None);
        let (value, text) = match *self {
            Self::LatencyAbove { threshold, .. } | Self::SlowCallRateAbove { threshold, .. } => {
                let (took, most) = shown_apart(to_ms(record.latency), to_ms(threshold));
                let text = format!("the probe took {took} ms, above {most} ms");
                let cause =
                    Cause { path: path.to_string(), value: to_ms(record.latency), limit: to_ms(threshold), text };
                return cause;
            }
            Self::Host { index } => {
                let reason = record.verdicts.get(index as usize).and_then(Option::clone);
                (1.0, reason.map_or_else(|| String::from("the host's condition holds"), bounded))
            }
            // A probe that erred fails by its outcome, and quality is judged over all probes.
            _ => (f64::from(u8::from(record.failed)), String::from("the probe failed")),
        };
        Cause { path: path.to_string(), value, limit, text }
    }

    /// The part of a quality condition in the failure of all probes together.
    pub(crate) fn probes_quality_cause(&self, path: &str, sum: i128, count: u32) -> Cause {
        let (value, limit) = (Score::mean(sum, count), self.limit(None));
        let (mean, least) = shown_apart(value, limit);
        let text = format!("the mean quality of {count} probes' scores is {mean}, below {least}");
        Cause { path: path.to_string(), value, limit, text }
    }
}
