//! From a policy's text to a [`Policy`]: the keys at the top.

use super::condition_keys::Conditions;
use super::keys::{Found, Item, Problems, Table, shown};
use super::{Policy, Problem, limits};
use crate::backoff::Backoff;
use crate::condition::{Condition, Leaf, Node};
use crate::load::Tier;
use crate::score::{SCORE_MAX, Score};
use crate::time::Nanos;
use alloc::{format, string::String, vec, vec::Vec};
use toml::de::DeTable;

pub(super) fn parse(text: &str) -> Result<Policy, Vec<Problem>> {
    if text.len() > limits::POLICY_BYTES_MAX {
        let message = format!("a policy has at most {} bytes, this one {}", limits::POLICY_BYTES_MAX, text.len());
        return Err(vec![Problem::at(text, 0, String::new(), message)]);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems { text, found: Vec::new() };
    if !errors.is_empty() {
        problems.found.extend(errors.iter().map(syntax));
        // One slip makes the parser stumble several times at one place: the first says it best.
        problems.found.sort_by_key(|found| found.offset);
        problems.found.dedup_by_key(|found| found.offset);
        return Err(problems.into_problems());
    }
    let table = Table::new(document.get_ref(), document.span(), String::new());
    let policy = policy(table, &mut problems);
    match policy {
        Some(policy) if problems.found.is_empty() => Ok(policy),
        _ => Err(problems.into_problems()),
    }
}

/// A problem of the TOML itself.
fn syntax(error: &toml::de::Error) -> Found {
    let offset = error.span().map_or(0, |span| span.start);
    let message = format!("this is no TOML: {}", error.message().replace('\n', ", "));
    Found { offset, key: String::new(), message, nearest: None }
}

fn policy(mut table: Table<'_>, problems: &mut Problems<'_>) -> Option<Policy> {
    let mut conditions = Conditions::default();
    let trip_on = table.need("trip_on", problems);
    let tree = trip_on.and_then(|item| conditions.node(item, 0, problems));
    let period = |item: Item<'_>, problems: &mut Problems<'_>| item.span(1..=limits::SPAN_MAX, problems);
    let half_open_after = table.take("half_open_after").and_then(|item| period(item, problems));
    let half_open_after = half_open_after.unwrap_or(super::HALF_OPEN_AFTER);
    let mut count = |key: &'static str, default: u32, problems: &mut Problems<'_>| {
        table.take(key).and_then(|item| item.u32(1..=limits::PROBES_MAX, problems)).unwrap_or(default)
    };
    let half_open_max_calls = count("half_open_max_calls", super::HALF_OPEN_MAX_CALLS, problems);
    let recovery_threshold = count("recovery_threshold", super::RECOVERY_THRESHOLD, problems);
    let probe_timeout = table.take("probe_timeout").and_then(|item| period(item, problems));
    let require_quality_signal = table.take("require_quality_signal").and_then(|item| item.bool(problems));
    let require_quality_signal = require_quality_signal.unwrap_or(false);
    let missing_score = missing_score(&mut table, require_quality_signal, problems);
    let retry_after_max = table.take("retry_after_max").and_then(|item| item.span(0..=limits::SPAN_MAX, problems));
    let adaptive = table.take("adaptive").map(|item| tiers(&item, &conditions.leaves, problems)).unwrap_or_default();
    let longest = adaptive.iter().filter_map(|tier| tier.half_open_after).fold(half_open_after, Nanos::max);
    let backoff = table.take("backoff").and_then(|item| backoff(&item, longest, problems));
    table.finish(problems);
    let mut policy = Policy {
        tree: tree?,
        leaves: conditions.leaves.into(),
        host_conditions: conditions.host_conditions.into(),
        half_open_after,
        half_open_max_calls,
        recovery_threshold,
        probe_timeout: probe_timeout.unwrap_or(super::PROBE_TIMEOUT),
        require_quality_signal,
        missing_score,
        retry_after_max: retry_after_max.unwrap_or(super::RETRY_AFTER_MAX),
        backoff: backoff.unwrap_or_default(),
        adaptive: adaptive.into(),
        fingerprint: 0,
    };
    policy.fingerprint = policy.compute_fingerprint();
    Some(policy)
}

fn missing_score(table: &mut Table<'_>, required: bool, problems: &mut Problems<'_>) -> Score {
    let Some(item) = table.take("missing_score") else { return Score::ZERO };
    let Some(score) = item.f64(-SCORE_MAX..=SCORE_MAX, problems) else { return Score::ZERO };
    if !required {
        let message =
            "`missing_score` is used under `require_quality_signal = true` only, which this policy doesn't set";
        problems.add(&item.span, &item.path, message.into());
    }
    // In range by the check above.
    Score::quantise(score).unwrap_or(Score::ZERO)
}

/// `longest` is the longest first period, that of a tier perhaps.
fn backoff(item: &Item<'_>, longest: Nanos, problems: &mut Problems<'_>) -> Option<Backoff> {
    let Some(mut table) = item.table() else {
        item.expected("a table such as { multiplier = 2.0, max = \"10m\", jitter = 0.1, seed = 1 }", problems);
        return None;
    };
    let default = Backoff::default();
    let multiplier = table.take("multiplier").and_then(|item| item.f64(1.0..=limits::MULTIPLIER_MAX, problems));
    let max = table.take("max").and_then(|item| {
        let max = item.span(1..=limits::SPAN_MAX, problems)?;
        if max < longest {
            let message = format!("the cap {} is shorter than `half_open_after`, {}", shown(max), shown(longest));
            problems.add(&item.span, &item.path, message);
        }
        Some(max)
    });
    let jitter = table.take("jitter").and_then(|item| item.f64(0.0..=1.0, problems));
    let seed = table.take("seed").and_then(|item| item.u64(problems));
    table.finish(problems);
    Some(Backoff {
        multiplier: multiplier.unwrap_or(default.multiplier),
        // A default cap below the first period would shorten it.
        max: max.unwrap_or(default.max.max(longest)),
        jitter: jitter.unwrap_or(default.jitter),
        seed: seed.unwrap_or(default.seed),
    })
}

fn tiers(item: &Item<'_>, leaves: &[Leaf], problems: &mut Problems<'_>) -> Vec<Tier> {
    let tables = item.value.as_array().filter(|array| array.iter().all(|tier| tier.get_ref().is_table()));
    let Some(array) = tables.filter(|array| (1..=limits::TIERS_MAX).contains(&array.len())) else {
        let tiers_max = limits::TIERS_MAX;
        item.expected(&format!("1 to {tiers_max} tables [[adaptive]] with `calls_per_minute_above`"), problems);
        return Vec::new();
    };
    let streaks = leaves.iter().any(|leaf| matches!(leaf.condition, Condition::ConsecutiveFailures { .. }));
    let mut tiers: Vec<Tier> = Vec::new();
    for (index, value) in array.iter().enumerate() {
        let tier = Item::new(value, format!("{}[{index}]", item.path));
        let Some(tier) = self::tier(&tier, streaks, problems) else { continue };
        if tiers.iter().any(|other| other.calls_per_minute_above == tier.calls_per_minute_above) {
            let message = format!("two tiers are for more than {} calls a minute", tier.calls_per_minute_above);
            problems.add(&value.span(), &format!("{}[{index}]", item.path), message);
        }
        tiers.push(tier);
    }
    tiers.sort_by_key(|tier| core::cmp::Reverse(tier.calls_per_minute_above));
    tiers
}

fn tier(item: &Item<'_>, streaks: bool, problems: &mut Problems<'_>) -> Option<Tier> {
    // The caller has checked that it is a table.
    let mut table = item.table()?;
    let above = table.need("calls_per_minute_above", problems);
    let above = above.and_then(|item| item.u32(0..=limits::CALLS_PER_MINUTE_MAX, problems));
    let failures = table.take("consecutive_failures").and_then(|item| {
        if !streaks {
            let message = "`trip_on` has no `consecutive_failures`, whose limit this would be";
            problems.add(&item.span, &item.path, message.into());
        }
        item.u32(1..=limits::CONSECUTIVE_FAILURES_MAX, problems)
    });
    let half_open_after = table.take("half_open_after").and_then(|item| item.span(1..=limits::SPAN_MAX, problems));
    if table.names() == ["calls_per_minute_above"] {
        let message = "a tier says what changes: `consecutive_failures`, `half_open_after`, or both";
        problems.add(&table.span, &table.path, message.into());
    }
    table.finish(problems);
    Some(Tier { calls_per_minute_above: above?, consecutive_failures: failures, half_open_after })
}

/// A tree that never holds, for a policy whose conditions could not be read.
impl Default for Node {
    fn default() -> Self {
        Self::Any(Vec::new().into())
    }
}
