//! From a policy's text to a [`Policy`]: the keys at the top.

use super::condition_keys::Conditions;
use super::keys::{Found, Item, Problems, Table, shown};
use super::{Policy, Problem, limits};
use crate::backoff::Backoff;
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
    let trip_on = table.need("trip_on", problems);
    // All are taken before any is read: what is left then is unknown, perhaps a slip of the pen for one that isn't there.
    let [after, max_calls, threshold, timeout, required, missing, hint_max, adaptive, backoff] = [
        "half_open_after",
        "half_open_max_calls",
        "recovery_threshold",
        "probe_timeout",
        "require_quality_signal",
        "missing_score",
        "retry_after_max",
        "adaptive",
        "backoff",
    ]
    .map(|key| table.take(key));
    let mut conditions = Conditions::default();
    let tree = trip_on.and_then(|item| conditions.node(item, 0, problems));
    let period = 1..=limits::SPAN_MAX;
    // What could not be read is none from here on: nothing else is judged by a default that nobody asked for.
    let half_open_after = match &after {
        Some(item) => item.span(period.clone(), problems),
        None => (!table.misspells("half_open_after")).then_some(super::HALF_OPEN_AFTER),
    };
    let require_quality_signal = match &required {
        Some(item) => item.bool(problems),
        None => (!table.misspells("require_quality_signal")).then_some(false),
    };
    let count = |item: Option<Item<'_>>, default: u32, problems: &mut Problems<'_>| {
        item.and_then(|item| item.u32(1..=limits::PROBES_MAX, problems)).unwrap_or(default)
    };
    let half_open_max_calls = count(max_calls, super::HALF_OPEN_MAX_CALLS, problems);
    let recovery_threshold = count(threshold, super::RECOVERY_THRESHOLD, problems);
    let probe_timeout = timeout.and_then(|item| item.span(period, problems));
    let missing_score = missing.and_then(|item| missing_score(&item, require_quality_signal, problems));
    let retry_after_max = hint_max.and_then(|item| item.span(0..=limits::SPAN_MAX, problems));
    // Conditions that could not be read may be streaks.
    let streaks = if tree.is_some() { Some(conditions.has_streaks()) } else { None };
    let adaptive = adaptive.map(|item| tiers(&item, streaks, problems)).unwrap_or_default();
    let longest = adaptive.iter().filter_map(|tier| tier.half_open_after).chain(half_open_after).max();
    let backoff = backoff.and_then(|item| self::backoff(&item, longest, problems));
    table.finish(problems);
    let mut policy = Policy {
        tree: tree?,
        leaves: conditions.leaves.into(),
        host_conditions: conditions.host_conditions.into(),
        half_open_after: half_open_after?,
        half_open_max_calls,
        recovery_threshold,
        probe_timeout: probe_timeout.unwrap_or(super::PROBE_TIMEOUT),
        require_quality_signal: require_quality_signal?,
        missing_score: missing_score.unwrap_or(Score::ZERO),
        retry_after_max: retry_after_max.unwrap_or(super::RETRY_AFTER_MAX),
        backoff: backoff.unwrap_or_default(),
        adaptive: adaptive.into(),
        fingerprint: 0,
    };
    policy.fingerprint = policy.compute_fingerprint();
    Some(policy)
}

/// `required` is `require_quality_signal`, where that is known.
fn missing_score(item: &Item<'_>, required: Option<bool>, problems: &mut Problems<'_>) -> Option<Score> {
    let score = item.f64(-SCORE_MAX..=SCORE_MAX, problems)?;
    if required == Some(false) {
        let message =
            "`missing_score` is used under `require_quality_signal = true` only, which this policy doesn't set";
        problems.add(&item.span, &item.path, message.into());
    }
    // In range by the check above.
    Score::quantise(score).ok()
}

/// `longest` is the longest first period that is known, that of a tier perhaps.
fn backoff(item: &Item<'_>, longest: Option<Nanos>, problems: &mut Problems<'_>) -> Option<Backoff> {
    let Some(mut table) = item.table() else {
        item.expected("a table such as { multiplier = 2.0, max = \"10m\", jitter = 0.1, seed = 1 }", problems);
        return None;
    };
    let default = Backoff::default();
    let multiplier = table.take("multiplier").and_then(|item| item.f64(1.0..=limits::MULTIPLIER_MAX, problems));
    let max = table.take("max").and_then(|item| {
        let max = item.span(1..=limits::SPAN_MAX, problems)?;
        if let Some(longest) = longest.filter(|longest| max < *longest) {
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
        max: max.unwrap_or(longest.map_or(default.max, |longest| longest.max(default.max))),
        jitter: jitter.unwrap_or(default.jitter),
        seed: seed.unwrap_or(default.seed),
    })
}

/// `streaks` says whether the policy has a `consecutive_failures`, where that is known.
fn tiers(item: &Item<'_>, streaks: Option<bool>, problems: &mut Problems<'_>) -> Vec<Tier> {
    let tables = item.value.as_array().filter(|array| array.iter().all(|tier| tier.get_ref().is_table()));
    let Some(array) = tables.filter(|array| (1..=limits::TIERS_MAX).contains(&array.len())) else {
        let tiers_max = limits::TIERS_MAX;
        item.expected(&format!("1 to {tiers_max} tables [[adaptive]] with `calls_per_minute_above`"), problems);
        return Vec::new();
    };
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

fn tier(item: &Item<'_>, streaks: Option<bool>, problems: &mut Problems<'_>) -> Option<Tier> {
    // The caller has checked that it is a table.
    let mut table = item.table()?;
    let above = table.need("calls_per_minute_above", problems);
    let above = above.and_then(|item| item.u32(0..=limits::CALLS_PER_MINUTE_MAX, problems));
    let failures = table.take("consecutive_failures").and_then(|item| {
        if streaks == Some(false) {
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
