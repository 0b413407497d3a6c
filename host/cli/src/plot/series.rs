//! What a plot is drawn from, gathered while the trace passes: every call of a short trace, buckets of a long one.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use softfuse_trace::{Call, OutcomeKind};

use super::buckets::Buckets;
use crate::fail::wrong;
use crate::replay::Lane;

/// Up to how many calls each has a dot of its own.
const POINTS_MAX: usize = 3_000;
/// How many calls may be under way at once.
const UNDER_WAY_MAX: usize = 1 << 20;
/// The window of the rolling means, where the policy has none: ml-breaker's default.
const WINDOW: usize = 20;
/// The longest window of the rolling means.
const WINDOW_MAX: usize = 1_000;

/// A call at the time of its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) at: i64,
    pub(crate) kind: OutcomeKind,
    pub(crate) latency_ms: f64,
    pub(crate) score: Option<f64>,
    /// Whether the policy admitted it; always, where there are several.
    pub(crate) admitted: bool,
    /// Over the last scores, this one included, refused calls' too.
    pub(crate) mean_score: Option<f64>,
    /// Over the last calls, this one included, refused ones too.
    pub(crate) error_rate: Option<f64>,
}

/// What there is to draw.
pub(crate) struct Series {
    /// In order of their ends; empty where there were too many.
    pub(crate) points: Vec<Point>,
    pub(crate) buckets: Buckets,
    /// How many calls the rolling means look at.
    pub(crate) window: usize,
    too_many: bool,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    scores: Rolling,
    errors: Rolling,
}

/// A call that hasn't ended.
struct UnderWay {
    line: u64,
    point: Point,
}

impl UnderWay {
    fn key(&self) -> (i64, u64) {
        (self.point.at, self.line)
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for UnderWay {}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// The mean of the last values.
#[derive(Default)]
struct Rolling {
    values: VecDeque<f64>,
    sum: f64,
}

impl Rolling {
    /// The mean, once there are `window` values.
    fn push(&mut self, value: f64, window: usize) -> Option<f64> {
        self.values.push_back(value);
        self.sum += value;
        if self.values.len() > window {
            self.sum -= self.values.pop_front().unwrap_or_default();
        }
        (self.values.len() == window).then(|| self.sum / window as f64)
    }
}

impl Series {
    /// For a trace that begins at `first_at`. The means roll over as many calls as the first policy's condition on quality,
    /// or else its first condition, looks at.
    ///
    /// # Errors
    /// Where the breaker component fails.
    pub(crate) fn new(lanes: &[Lane], first_at: i64) -> anyhow::Result<Self> {
        let readings = match lanes.first() {
            Some(lane) => lane.status()?.conditions,
            None => Vec::new(),
        };
        let on_quality = readings.iter().find(|reading| reading.path.ends_with("quality_below"));
        let window = on_quality.or(readings.first()).map_or(WINDOW, |reading| reading.needed as usize);
        Ok(Self {
            points: Vec::new(),
            buckets: Buckets::new(first_at),
            window: if window < 2 { WINDOW } else { window.min(WINDOW_MAX) },
            too_many: false,
            under_way: BinaryHeap::new(),
            scores: Rolling::default(),
            errors: Rolling::default(),
        })
    }

    /// Takes a call that begins.
    ///
    /// # Errors
    /// Where too many are under way.
    pub(crate) fn add(&mut self, call: &Call, admitted: bool) -> anyhow::Result<()> {
        self.end_until(call.at);
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Err(wrong(format!("line {}: more than {UNDER_WAY_MAX} calls are under way at once", call.line)));
        }
        let at = call.at.saturating_add_unsigned(call.latency);
        let point = Point {
            at,
            kind: call.kind,
            latency_ms: call.latency as f64 / 1e6,
            score: call.score.filter(|_| !call.kind.is_neutral()),
            admitted,
            mean_score: None,
            error_rate: None,
        };
        self.under_way.push(Reverse(UnderWay { line: call.line, point }));
        Ok(())
    }

    /// No more calls begin.
    pub(crate) fn finish(&mut self) {
        self.end_until(i64::MAX);
    }

    fn end_until(&mut self, until: i64) {
        while self.under_way.peek().is_some_and(|Reverse(call)| call.point.at <= until) {
            let Some(Reverse(call)) = self.under_way.pop() else { break };
            self.end(call.point);
        }
    }

    fn end(&mut self, mut point: Point) {
        let failure = (!point.kind.is_neutral()).then(|| point.kind.is_failure());
        self.buckets.at(point.at).add(failure, point.latency_ms, point.score);
        if self.too_many {
            return;
        }
        point.mean_score = point.score.and_then(|score| self.scores.push(score, self.window));
        point.error_rate = failure.and_then(|failure| self.errors.push(f64::from(u8::from(failure)), self.window));
        self.points.push(point);
        if self.points.len() > POINTS_MAX {
            self.too_many = true;
            self.points = Vec::new();
        }
    }

    /// Whether any call failed.
    pub(crate) fn any_failures(&self) -> bool {
        self.buckets.iter().any(|(_, bucket)| bucket.failures > 0)
    }

    /// Whether any answer has a score.
    pub(crate) fn any_scores(&self) -> bool {
        self.buckets.iter().any(|(_, bucket)| bucket.scored > 0)
    }
}
