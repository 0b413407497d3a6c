//! From `trip_on` to a tree of conditions.

use super::keys::{Item, Problems, Table, list};
use super::nearest::nearest;
use super::{SLICES, WINDOW, limits};
use crate::condition::{Condition, Leaf, Node};
use crate::score::{SCORE_MAX, Score};
use crate::time::Nanos;
use crate::window::{Extent, Window};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use toml::de::DeValue;

/// The names of all conditions.
const NAMES: [&str; 8] = [
    "any_of",
    "all_of",
    "quality_below",
    "latency_above",
    "error_rate_above",
    "slow_call_rate_above",
    "consecutive_failures",
    "host_condition",
];

/// The leaves found so far.
#[derive(Default)]
pub(super) struct Conditions {
    pub(super) leaves: Vec<Leaf>,
    pub(super) host_conditions: Vec<Box<str>>,
}

impl Conditions {
    /// Reads a table with one condition. None where there was a problem.
    pub(super) fn node(&mut self, item: Item<'_>, depth: u32, problems: &mut Problems<'_>) -> Option<Node> {
        let Some(mut table) = item.table() else {
            item.expected("a table with one condition, such as { quality_below = 0.7 }", problems);
            return None;
        };
        let names = table.names();
        let (Some(name), 1) = (names.first().copied(), names.len()) else {
            let message = match names.len() {
                0 => format!("a condition is missing; there are {}", list(&NAMES)),
                _ => format!("{} stand side by side: join them with any_of = [...] or all_of = [...]", list(&names)),
            };
            problems.add(&item.span, &item.path, message);
            return None;
        };
        let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
            let message = format!("there is no condition `{name}`; there are {}", list(&NAMES));
            let key = format!("{}.{name}", item.path);
            problems.add_near(&table.first_key(), &key, message, nearest(name, NAMES));
            return None;
        };
        // It is there: its name was just read.
        let condition = table.take(name)?;
        match name {
            "any_of" => self.children(&condition, depth, problems).map(Node::Any),
            "all_of" => self.children(&condition, depth, problems).map(Node::All),
            _ => self.leaf(name, &condition, problems),
        }
    }

    /// Whether any of them counts failures in a row.
    pub(super) fn has_streaks(&self) -> bool {
        self.leaves.iter().any(|leaf| matches!(leaf.condition, Condition::ConsecutiveFailures { .. }))
    }

    fn children(&mut self, item: &Item<'_>, depth: u32, problems: &mut Problems<'_>) -> Option<Box<[Node]>> {
        if depth == limits::DEPTH_MAX {
            let message = format!("conditions are nested deeper than {} levels", limits::DEPTH_MAX);
            problems.add(&item.span, &item.path, message);
            return None;
        }
        let Some(array) = item.value.as_array().filter(|array| !array.is_empty()) else {
            item.expected("an array of one condition or more, such as [{ quality_below = 0.7 }]", problems);
            return None;
        };
        let children: Vec<Option<Node>> = array
            .iter()
            .enumerate()
            .map(|(index, child)| self.node(Item::new(child, format!("{}[{index}]", item.path)), depth + 1, problems))
            .collect();
        children.into_iter().collect()
    }

    fn leaf(&mut self, name: &str, item: &Item<'_>, problems: &mut Problems<'_>) -> Option<Node> {
        let condition = match name {
            "quality_below" => {
                let (threshold, window) = limited(item, "threshold", problems, |limit, problems| {
                    limit.f64(-SCORE_MAX..=SCORE_MAX, problems)
                })?;
                // In range by the check above.
                Condition::QualityBelow { threshold: Score::quantise(threshold).ok()?, window }
            }
            "latency_above" => {
                let (threshold, window) = limited(item, "threshold_ms", problems, threshold_ms)?;
                Condition::LatencyAbove { threshold, window }
            }
            "error_rate_above" => {
                let (rate, window) = limited(item, "rate", problems, rate)?;
                Condition::ErrorRateAbove { rate, window }
            }
            "slow_call_rate_above" => slow_call_rate(item, problems)?,
            "consecutive_failures" => Condition::ConsecutiveFailures { n: failures(item, problems)? },
            // `host_condition`: the caller knows the names.
            _ => self.host(item, problems)?,
        };
        if self.leaves.len() == limits::CONDITIONS_MAX {
            let message = format!("a policy has at most {} conditions", limits::CONDITIONS_MAX);
            problems.add(&item.span, &item.path, message);
            return None;
        }
        let path = item.path.strip_prefix("trip_on.").unwrap_or(&item.path);
        self.leaves.push(Leaf { condition, path: path.into() });
        // At most CONDITIONS_MAX.
        Some(Node::Leaf(self.leaves.len() as u32 - 1))
    }

    fn host(&mut self, item: &Item<'_>, problems: &mut Problems<'_>) -> Option<Condition> {
        let most = limits::HOST_CONDITION_BYTES_MAX;
        let Some(name) = item.value.as_str().filter(|name| (1..=most).contains(&name.len())) else {
            let what = format!("the name of a condition that the host brings, of 1 to {most} bytes");
            item.expected(&what, problems);
            return None;
        };
        let index = self.host_conditions.iter().position(|known| &**known == name).unwrap_or_else(|| {
            self.host_conditions.push(name.into());
            self.host_conditions.len() - 1
        });
        Some(Condition::Host { index: index as u32 })
    }
}

fn threshold_ms(item: &Item<'_>, problems: &mut Problems<'_>) -> Option<Nanos> {
    item.milliseconds(limits::SPAN_MAX, problems)
}

fn rate(item: &Item<'_>, problems: &mut Problems<'_>) -> Option<f64> {
    item.f64(0.0..=1.0, problems)
}

/// A condition with one limit, given alone or in a table beside its window.
fn limited<'a, L>(
    item: &Item<'a>,
    key: &'static str,
    problems: &mut Problems<'_>,
    read: impl Fn(&Item<'a>, &mut Problems<'_>) -> Option<L>,
) -> Option<(L, Window)> {
    let Some(mut table) = item.table() else {
        return Some((read(item, problems)?, Window { extent: Extent::Count(WINDOW), minimum: WINDOW }));
    };
    let limit = table.need(key, problems).and_then(|item| read(&item, problems));
    let window = window(&mut table, problems);
    table.finish(problems);
    Some((limit?, window?))
}

fn slow_call_rate(item: &Item<'_>, problems: &mut Problems<'_>) -> Option<Condition> {
    let Some(mut table) = item.table() else {
        item.expected("a table such as { rate = 0.5, threshold_ms = 2000 }", problems);
        return None;
    };
    let rate = table.need("rate", problems).and_then(|item| self::rate(&item, problems));
    let threshold = table.need("threshold_ms", problems).and_then(|item| threshold_ms(&item, problems));
    let window = window(&mut table, problems);
    table.finish(problems);
    Some(Condition::SlowCallRateAbove { rate: rate?, threshold: threshold?, window: window? })
}

fn failures(item: &Item<'_>, problems: &mut Problems<'_>) -> Option<u32> {
    let range = 1..=limits::CONSECUTIVE_FAILURES_MAX;
    let Some(mut table) = item.table() else { return item.u32(range, problems) };
    let n = table.need("n", problems).and_then(|item| item.u32(range, problems));
    table.finish(problems);
    n
}

/// `window` (a count, or a span as a string), `slices` and `minimum_calls`.
fn window(table: &mut Table<'_>, problems: &mut Problems<'_>) -> Option<Window> {
    // All three are taken before any is read: what a bad one leaves unread is no unknown key.
    let (item, slices, minimum) = (table.take("window"), table.take("slices"), table.take("minimum_calls"));
    let by_time = item.as_ref().is_some_and(|item| matches!(item.value, DeValue::String(_)));
    let extent = match &item {
        Some(item) if by_time => span_extent(item, slices.as_ref(), problems)?,
        _ => {
            // Beside a window that is neither it can't be told whether they belong there.
            let by_count = item.as_ref().is_none_or(|item| item.value.is_integer());
            if let Some(slices) = slices.as_ref().filter(|_| by_count) {
                let message = "`slices` belongs to a window by time, such as window = \"60s\"";
                problems.add(&slices.span, &slices.path, String::from(message));
            }
            Extent::Count(item.map_or(Some(WINDOW), |item| count_window(&item, problems))?)
        }
    };
    let most = if let Extent::Count(window) = extent { window } else { limits::WINDOW_MAX };
    let minimum = match minimum {
        Some(item) => item.u32(1..=most, problems)?,
        None if by_time => WINDOW,
        None => most,
    };
    Some(Window { extent, minimum })
}

fn count_window(item: &Item<'_>, problems: &mut Problems<'_>) -> Option<u32> {
    if item.value.is_integer() {
        return item.u32(1..=limits::WINDOW_MAX, problems);
    }
    let most = limits::WINDOW_MAX;
    item.expected(&format!("a number of calls from 1 to {most}, or a span such as \"60s\""), problems);
    None
}

fn span_extent(item: &Item<'_>, slices: Option<&Item<'_>>, problems: &mut Problems<'_>) -> Option<Extent> {
    let span = item.span(limits::WINDOW_SPAN_MIN..=limits::SPAN_MAX, problems);
    let slices = slices.map_or(Some(SLICES), |item| item.u32(1..=limits::SLICES_MAX, problems));
    let (span, slices) = (span?, slices?);
    if !span.is_multiple_of(u64::from(slices)) {
        let message = format!("the window's {span} ns can't be cut into {slices} equal slices of whole nanoseconds");
        problems.add(&item.span, &item.path, message);
        return None;
    }
    Some(Extent::Span { slice: span / u64::from(slices), slices })
}
