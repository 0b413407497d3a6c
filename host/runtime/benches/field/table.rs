//! One table of medians and ratios, beside the goals.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::keys::Memory;

/// Where criterion keeps what it measured.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("field")
}

/// A row: what is measured, in nanoseconds, beside what.
struct Row {
    what: &'static str,
    ours: &'static str,
    beside: &'static str,
    /// The ratio, or without anything beside it the time in nanoseconds, that it should be at most.
    goal: Option<f64>,
}

const fn row(what: &'static str, ours: &'static str, beside: &'static str, goal: Option<f64>) -> Row {
    Row { what, ours, beside, goal }
}

const ROWS: &[Row] = &[
    row("guarded call, clock handed in / recloser", "calls-0%-1/softfuse", "calls-0%-1/recloser", Some(1.0)),
    row("the lease alone / recloser", "calls-0%-1/lease", "calls-0%-1/recloser", None),
    row("the lease alone, 2 threads / recloser", "calls-0%-2/lease", "calls-0%-2/recloser", None),
    row("guarded call in two steps, by a permit / recloser", "calls-0%-1/softfuse-permit", "calls-0%-1/recloser", None),
    row(
        "guarded call, clock read / recloser, clock read",
        "calls-0%-1/softfuse-clock",
        "calls-0%-1/recloser-clock",
        Some(1.0),
    ),
    row("guarded call / mutex around the core", "calls-0%-1/softfuse", "calls-0%-1/mutex-core", None),
    row("guarded call / failsafe", "calls-0%-1/softfuse", "calls-0%-1/failsafe", None),
    row("guarded call / tower-resilience", "calls-0%-1/softfuse", "calls-0%-1/tower-resilience", None),
    row("2 threads / mutex around the core", "calls-0%-2/softfuse", "calls-0%-2/mutex-core", Some(0.35)),
    row("2 threads, by a permit / mutex around the core", "calls-0%-2/softfuse-permit", "calls-0%-2/mutex-core", None),
    row("2 threads / recloser", "calls-0%-2/softfuse", "calls-0%-2/recloser", None),
    row("1% failures / recloser", "calls-1%-1/softfuse", "calls-1%-1/recloser", None),
    row("1% failures / mutex around the core", "calls-1%-1/softfuse", "calls-1%-1/mutex-core", None),
    row("1% failures, 2 threads / mutex around the core", "calls-1%-2/softfuse", "calls-1%-2/mutex-core", None),
    row("30% failures / recloser", "calls-30%-1/softfuse", "calls-30%-1/recloser", None),
    row("30% failures / failsafe", "calls-30%-1/softfuse", "calls-30%-1/failsafe", None),
    row("30% failures / tower-resilience", "calls-30%-1/softfuse", "calls-30%-1/tower-resilience", None),
    row("30% failures / mutex around the core", "calls-30%-1/softfuse", "calls-30%-1/mutex-core", None),
    row("30% failures, 2 threads / mutex around the core", "calls-30%-2/softfuse", "calls-30%-2/mutex-core", None),
    row("scored, window 20 / unscored", "scored-20-0%-1/softfuse", "scored-20-0%-1/unscored", Some(2.0)),
    row("scored, window 100 / unscored", "scored-100-0%-1/softfuse", "scored-100-0%-1/unscored", Some(1.5)),
    row("a score that no condition looks at / none", "scored-20-0%-1/unwanted", "scored-20-0%-1/unscored", None),
    row("scored, window 20 / mutex around the core", "scored-20-0%-1/softfuse", "scored-20-0%-1/mutex-core", None),
    row(
        "scored, window 20, 2 threads / mutex around the core",
        "scored-20-0%-2/softfuse",
        "scored-20-0%-2/mutex-core",
        None,
    ),
    row(
        "scored, window 20, 30% failures / mutex around the core",
        "scored-20-30%-1/softfuse",
        "scored-20-30%-1/mutex-core",
        None,
    ),
    row("rejection while open, clock handed in / recloser", "rejected-1/softfuse", "rejected-1/recloser", Some(1.5)),
    row("rejection while open, clock read / recloser", "rejected-1/softfuse-clock", "rejected-1/recloser", None),
    row("scorer text, 2 KiB, reused", "scorer-2KiB/text-reused", "", Some(2_000.0)),
    row("scorer text, 2 KiB, fresh", "scorer-2KiB/text-fresh", "", Some(10_000.0)),
    row(
        "scorer text, 2 KiB, reused / the same code without a sandbox",
        "scorer-2KiB/text-reused",
        "scorer-2KiB/text-native",
        None,
    ),
    row("scorer logprobs, 2 KiB, reused", "scorer-2KiB/logprobs-reused", "", Some(2_000.0)),
    row("scorer logprobs, 2 KiB, fresh", "scorer-2KiB/logprobs-fresh", "", Some(10_000.0)),
    row(
        "scorer logprobs, 2 KiB, reused / the same code without a sandbox",
        "scorer-2KiB/logprobs-reused",
        "scorer-2KiB/logprobs-native",
        None,
    ),
    row("scorer embedding, 2 KiB, reused", "scorer-2KiB/embedding-reused", "", Some(2_000.0)),
    row("scorer embedding, 2 KiB, fresh", "scorer-2KiB/embedding-fresh", "", Some(10_000.0)),
    row(
        "scorer embedding, 2 KiB, reused / the same code without a sandbox",
        "scorer-2KiB/embedding-reused",
        "scorer-2KiB/embedding-native",
        None,
    ),
    row("a scorer's call, 2 KiB that it doesn't read, reused", "scorer-2KiB/unread-embedding-reused", "", None),
    row("a scorer's call, 2 KiB that it doesn't read, fresh", "scorer-2KiB/unread-embedding-fresh", "", None),
    row("start to the first decision", "start/first-decision", "", Some(2_000_000.0)),
    row("1 key / plain map", "keys-1/softfuse-uniform", "keys-1/map-uniform", None),
    row("1,000 keys / plain map", "keys-1000/softfuse-uniform", "keys-1000/map-uniform", None),
    row("100,000 keys / plain map", "keys-100000/softfuse-uniform", "keys-100000/map-uniform", None),
    row("1,000,000 keys, uniform / plain map", "keys-1000000/softfuse-uniform", "keys-1000000/map-uniform", Some(1.5)),
    row("1,000,000 keys, Zipf / plain map", "keys-1000000/softfuse-zipf", "keys-1000000/map-zipf", Some(1.5)),
    row(
        "of these, the lookup alone: uniform / plain map",
        "keys-1000000/lookup-uniform",
        "keys-1000000/map-uniform",
        None,
    ),
    row("of these, the lookup alone: Zipf / plain map", "keys-1000000/lookup-zipf", "keys-1000000/map-zipf", None),
    row(
        "plain map of native breakers, uniform / plain map",
        "keys-1000000/native-uniform",
        "keys-1000000/map-uniform",
        None,
    ),
    row("plain map of native breakers, Zipf / plain map", "keys-1000000/native-zipf", "keys-1000000/map-zipf", None),
    row("1,000,000 keys, 2 threads / 1 thread", "keys-1000000/threads-2", "keys-1000000/threads-1", None),
    row("100,000 keys, 2 threads / 1 thread", "keys-100000/threads-2", "keys-100000/threads-1", None),
    row("100,000 keys, Zipf / plain map", "keys-100000/softfuse-zipf", "keys-100000/map-zipf", None),
];

/// What was measured, round by round.
#[derive(Default)]
pub(crate) struct Medians {
    rounds: Vec<HashMap<&'static str, f64>>,
}

impl Medians {
    /// Takes what criterion has written since the last round.
    pub(crate) fn end_round(&mut self) {
        let ids = ROWS.iter().flat_map(|row| [row.ours, row.beside]);
        self.rounds.push(ids.filter_map(|id| Some((id, estimate(id)?))).collect());
    }

    /// The median over the rounds of what `of` makes of each.
    fn over(&self, of: impl Fn(&HashMap<&'static str, f64>) -> Option<f64>) -> Option<f64> {
        let mut found: Vec<f64> = self.rounds.iter().filter_map(of).collect();
        found.sort_by(f64::total_cmp);
        let (low, high) = (found.len().checked_sub(1)? / 2, found.len() / 2);
        Some(f64::midpoint(found[low], found[high]))
    }
}

/// Criterion's median, in nanoseconds.
fn estimate(id: &str) -> Option<f64> {
    let path = folder().join(id).join("new/estimates.json");
    let estimates: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

pub(crate) fn print(medians: &Medians, memory: &Memory, as_json: bool) {
    let mut rows = Vec::new();
    for Row { what, ours, beside, goal } in ROWS {
        let median = |id: &str| medians.over(|round| round.get(id).copied());
        let Some(nanoseconds) = median(ours) else { continue };
        let (beside_nanoseconds, ratio) =
            (median(beside), medians.over(|round| Some(round.get(ours)? / round.get(beside)?)));
        let met = goal.map(|goal| ratio.unwrap_or(nanoseconds) <= goal);
        rows.push(json!({
            "what": what, "nanoseconds": nanoseconds, "beside_nanoseconds": beside_nanoseconds, "ratio": ratio, "goal": goal, "met": met,
        }));
    }
    if memory.keys > 0 {
        let met = memory.bytes_each <= 400.0;
        rows.push(json!({ "what": format!("bytes of each of {} idle keys, buffers apart", memory.keys), "bytes": memory.bytes_each,
            "goal": 400.0, "met": met }));
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&rows).unwrap());
        return;
    }
    println!("\n{:<60} {:>12} {:>12} {:>7} {:>10}", "median of one call, ns", "softfuse", "beside", "ratio", "goal");
    for row in rows {
        let number = |key: &str, digits: usize| match row[key].as_f64() {
            Some(number) => format!("{number:.digits$}"),
            None => String::new(),
        };
        let ours = if row["bytes"].is_null() { number("nanoseconds", 1) } else { number("bytes", 0) };
        let mark = match row["met"].as_bool() {
            Some(true) => "<= ",
            Some(false) => "MISSED ",
            None => "",
        };
        println!(
            "{:<60} {ours:>12} {:>12} {:>7} {:>10}",
            row["what"].as_str().unwrap_or_default(),
            number("beside_nanoseconds", 1),
            number("ratio", 2),
            format!("{mark}{}", number("goal", 2).trim_end_matches(".00")),
        );
    }
}
