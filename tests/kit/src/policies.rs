//! Policies: random good ones, with every condition, nested, and windows small enough to fill and trip within a history;
//! and the shared bad ones, with the problems that every host must report.

use anyhow::{Context, Result, ensure};
use proptest::prelude::*;
use serde::Deserialize;
use std::path::Path;

/// A bad policy of `tests/vectors/policies.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bad {
    /// Unique.
    pub name: String,
    /// The policy's text.
    pub text: String,
    problems: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    line: u32,
    column: u32,
    key: String,
    message: String,
    nearest: Option<String>,
}

/// A problem as a host reports it: line, column, key, message, nearest key.
pub type Found = (u32, u32, String, String, Option<String>);

/// All bad policies.
///
/// # Errors
/// Where the file can't be read or has unknown keys.
pub fn load_bad(folder: &Path) -> Result<Vec<Bad>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        policy: Vec<Bad>,
    }
    let text = std::fs::read_to_string(folder.join("policies.toml")).context("policies.toml")?;
    Ok(toml::from_str::<File>(&text)?.policy)
}

impl Bad {
    /// Compares what a host reports with what it must.
    ///
    /// # Errors
    /// For the first difference.
    pub fn check(&self, found: &[Found]) -> Result<()> {
        ensure!(found.len() == self.problems.len(), "`{}`: expected {:#?}, found {found:#?}", self.name, self.problems);
        for (expected, (line, column, key, message, nearest)) in self.problems.iter().zip(found) {
            let same = expected.line == *line
                && expected.column == *column
                && expected.key == *key
                && message.contains(&expected.message)
                && expected.nearest == *nearest;
            ensure!(
                same,
                "`{}`: expected {expected:?}, found {line}:{column}: {key}: {message} ({nearest:?})",
                self.name
            );
        }
        Ok(())
    }
}

/// A policy's text. With `host`, its tree may hold the host's own conditions `h0` and `h1`.
pub fn policy(host: bool) -> impl Strategy<Value = String> {
    (tree(host), recovery(), quality(), backoff(), adaptive()).prop_map(
        |(tree, recovery, quality, backoff, adaptive)| {
            // A tier may only limit failures where a condition counts them.
            let adaptive = if tree.contains("consecutive_failures") { adaptive } else { String::new() };
            format!("trip_on = {tree}\n{recovery}{quality}{backoff}{adaptive}")
        },
    )
}

fn tree(host: bool) -> BoxedStrategy<String> {
    let leaves = if host { prop_oneof![8 => leaf(), 2 => host_leaf()].boxed() } else { leaf().boxed() };
    leaves
        .prop_recursive(3, 12, 4, |inner| {
            (prop::bool::ANY, prop::collection::vec(inner, 1..4)).prop_map(|(any, children)| {
                format!("{{ {} = [{}] }}", if any { "any_of" } else { "all_of" }, children.join(", "))
            })
        })
        .boxed()
}

fn host_leaf() -> impl Strategy<Value = String> {
    (0..2u8).prop_map(|index| format!("{{ host_condition = \"h{index}\" }}"))
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (threshold(), window()).prop_map(|(t, w)| format!("{{ quality_below = {{ threshold = {t}, {w} }} }}")),
        2 => (latency(), window()).prop_map(|(t, w)| format!("{{ latency_above = {{ threshold_ms = {t}, {w} }} }}")),
        3 => (rate(), window()).prop_map(|(r, w)| format!("{{ error_rate_above = {{ rate = {r}, {w} }} }}")),
        2 => (rate(), latency(), window()).prop_map(|(r, t, w)| {
            format!("{{ slow_call_rate_above = {{ rate = {r}, threshold_ms = {t}, {w} }} }}")
        }),
        2 => (1..5u32).prop_map(|n| format!("{{ consecutive_failures = {n} }}")),
    ]
}

fn threshold() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![0.5, 0.6, 0.7, 0.75, 0.8, 1.0 / 3.0])
}

fn latency() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![5.0, 10.0, 20.0, 0.5])
}

fn rate() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![0.0, 0.1, 0.25, 0.29, 0.3, 0.5, 0.75])
}

fn window() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (1..9u32, prop::option::of(1..9u32)).prop_map(|(window, minimum)| match minimum {
            Some(minimum) => format!("window = {window}, minimum_calls = {}", minimum.min(window)),
            None => format!("window = {window}"),
        }),
        1 => Just(String::from("window = 70")),
        2 => (1..5u32, 1..9u32, prop::sample::select(vec![10u64, 40, 200])).prop_map(|(slices, minimum, slice)| {
            let span = slice * u64::from(slices);
            format!("window = \"{span}ms\", slices = {slices}, minimum_calls = {minimum}")
        }),
    ]
}

fn recovery() -> impl Strategy<Value = String> {
    (prop::sample::select(vec![20u64, 100, 500]), 1..4u32, 1..4u32, prop::sample::select(vec![30u64, 200])).prop_map(
        |(after, calls, threshold, timeout)| {
            format!(
                "half_open_after = \"{after}ms\"\nhalf_open_max_calls = {calls}\nrecovery_threshold = {threshold}\n\
                 probe_timeout = \"{timeout}ms\"\nretry_after_max = \"1s\"\n"
            )
        },
    )
}

fn quality() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => (0..10u32).prop_map(|tenths| {
            format!("require_quality_signal = true\nmissing_score = 0.{tenths}\n")
        }),
    ]
}

fn backoff() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        1 => (1..4u32, 0..3u32, 0..9u64).prop_map(|(multiplier, jitter, seed)| {
            format!("backoff = {{ multiplier = {multiplier}.0, jitter = 0.{jitter}, seed = {seed}, max = \"3s\" }}\n")
        }),
    ]
}

fn adaptive() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => (1..6u32, 1..3u32).prop_map(|(above, failures)| {
            format!(
                "[[adaptive]]\ncalls_per_minute_above = {}\nconsecutive_failures = {failures}\nhalf_open_after = \"10ms\"\n\
                 [[adaptive]]\ncalls_per_minute_above = {above}\nhalf_open_after = \"15ms\"\n",
                above + 4
            )
        }),
    ]
}
