//! What a policy does, in a line. Conditions come from a breaker's status; how it recovers is found out by tripping one
//! and letting it recover, so that what is said is what the component does, defaults included.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use softfuse::{
    Breaker, CallRecord, Condition, Conditions, FailureKind, Outcome, Permit, Policy, Reading, Registry, Score, State,
    Time,
};

use crate::output;

/// How many breakers are tripped, to see whether their spans differ.
const REHEARSALS: u32 = 32;
/// More passes than any policy may ask for: the rehearsal ends.
const PASSES_MAX: u32 = 100_000;

/// What a policy does.
#[derive(Serialize)]
pub(crate) struct Summary {
    /// Equal for policies of equal meaning.
    fingerprint: String,
    /// `trip_on`, as in `any_of(quality_below 0.7 over 20, consecutive_failures 5)`.
    trips_on: String,
    conditions: Vec<Leaf>,
    host_conditions: Vec<String>,
    uses_scores: bool,
    require_quality_signal: bool,
    recovery: Recovery,
}

#[derive(Serialize)]
struct Leaf {
    path: String,
    limit: f64,
    /// Samples that it takes before the condition can hold.
    samples: u32,
}

#[derive(Serialize)]
struct Recovery {
    /// How long the circuit stays open; with jitter, in the mean.
    open_ms: f64,
    /// How long it stays open after its first probe failed.
    reopen_ms: f64,
    /// Whether both differ from one breaker to another.
    jitter: bool,
    /// How many probes there are at once.
    probes: u32,
    /// How many must pass.
    passes: u32,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recovery { open_ms, reopen_ms, jitter, probes, passes } = self.recovery;
        let span = |ms: f64| match jitter {
            false => output::span((ms * 1e6) as u64),
            true => format!("about {}", output::span((two_digits(ms) * 1e6) as u64)),
        };
        write!(f, "trips on {}; opens for {}", self.trips_on, span(open_ms))?;
        if reopen_ms != open_ms {
            write!(f, ", then {}", span(reopen_ms))?;
        }
        let plural = |count: u32| if count == 1 { "" } else { "s" };
        write!(f, "; closes after {passes} passed probe{}, {probes} at once", plural(passes))?;
        if self.require_quality_signal {
            f.write_str("; every success must have a score")?;
        }
        Ok(())
    }
}

/// Rounded to two digits, as befits what was only sampled.
fn two_digits(value: f64) -> f64 {
    let power = 10_f64.powf(value.abs().max(1.0).log10().floor() - 1.0);
    (value / power).round() * power
}

/// A condition of the host's own that never holds.
struct Never;

impl Condition for Never {
    fn record(&mut self, _: &CallRecord) -> Option<String> {
        None
    }

    fn reset(&mut self) {}
}

/// Finds out what a policy does.
///
/// # Errors
/// Where the breaker component fails, or does what the contract forbids.
pub(crate) fn summary(registry: &Registry, name: &str, policy: &Policy) -> anyhow::Result<Summary> {
    let info = policy.info();
    let never = |name: &String| (name.clone(), Box::new(Never) as Box<dyn Condition>);
    let mut readings = Vec::new();
    let mut rehearsals = Vec::new();
    // Jitter is seeded by the name, so breakers of several names show it.
    for index in 0..REHEARSALS {
        let name = format!("{name}-{index}");
        let conditions: Conditions = info.host_conditions.iter().map(never).collect();
        let breaker = registry.breaker_with(&name, policy, conditions)?;
        readings = breaker.status_at(Time::ZERO)?.conditions;
        let rehearsed = rehearse(&breaker);
        rehearsals.push(rehearsed.with_context(|| format!("the breaker component with {}", policy.source_name()))?);
        registry.remove(&name);
    }
    let recovery = joined(&rehearsals).context("nothing was rehearsed")?;
    Ok(Summary {
        fingerprint: format!("{:016x}", info.fingerprint),
        trips_on: tree(&readings, &info.host_conditions),
        conditions: readings
            .into_iter()
            .map(|reading| Leaf { path: reading.path, limit: reading.limit, samples: reading.needed })
            .collect(),
        host_conditions: info.host_conditions.clone(),
        uses_scores: info.uses_scores,
        require_quality_signal: info.require_quality_signal,
        recovery,
    })
}

/// One recovery of many: spans are half way between the least and the most.
fn joined(rehearsals: &[Recovery]) -> Option<Recovery> {
    let middle = |read: fn(&Recovery) -> f64| {
        let spans = rehearsals.iter().map(read);
        let (least, most) =
            spans.fold((f64::INFINITY, 0.0_f64), |(least, most), span| (least.min(span), most.max(span)));
        ((least + most) / 2.0, least != most)
    };
    let (open_ms, open_differs) = middle(|recovery| recovery.open_ms);
    let (reopen_ms, reopen_differs) = middle(|recovery| recovery.reopen_ms);
    let Recovery { probes, passes, .. } = *rehearsals.first()?;
    Some(Recovery { open_ms, reopen_ms, jitter: open_differs || reopen_differs, probes, passes })
}

/// Trips the breaker, fails its first probe, then lets it recover, and looks on.
fn rehearse(breaker: &Breaker) -> anyhow::Result<Recovery> {
    let open = |at: Time| -> anyhow::Result<Time> {
        let change = breaker.trip_at("a rehearsal", None, at)?;
        change.and_then(|change| change.open_until).context("it doesn't open when it is told to")
    };
    let until = open(Time::ZERO)?;
    let probe = breaker.permit_at(until)?;
    let failed = probe.settle_at(Outcome::failure(FailureKind::Error).with_latency(Duration::ZERO), until);
    let reopened =
        failed.change.and_then(|change| change.open_until).context("a failed probe doesn't open it again")?;
    let mut probes: Vec<Permit> = Vec::new();
    while let Ok(permit) = breaker.permit_at(reopened) {
        probes.push(permit);
        if probes.len() as u32 > PASSES_MAX {
            bail!("it admits more than {PASSES_MAX} probes at once");
        }
    }
    let at_once = probes.len() as u32;
    // The best score that there is passes every limit, and a call of no time is slow by none.
    let passed = Outcome::success().with_latency(Duration::ZERO).with_score(Score::new(1e6)?);
    let mut passes = 0;
    while breaker.state() == State::HalfOpen && passes < PASSES_MAX {
        let probe = match probes.pop() {
            Some(probe) => probe,
            None => breaker.permit_at(reopened)?,
        };
        probe.settle_at(passed, reopened);
        passes += 1;
    }
    if breaker.state() != State::Closed {
        bail!("it doesn't close after {passes} passed probes");
    }
    let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
    Ok(Recovery {
        open_ms: milliseconds(until.saturating_since(Time::ZERO)),
        reopen_ms: milliseconds(reopened.saturating_since(until)),
        jitter: false,
        probes: at_once,
        passes,
    })
}

/// `trip_on` in words, from the leaves' paths, such as `any_of[1].all_of[0].quality_below`.
fn tree(readings: &[Reading], host_conditions: &[String]) -> String {
    let mut hosts = host_conditions.iter();
    let leaves: Vec<(Vec<&str>, String)> = readings
        .iter()
        .map(|reading| {
            let parts: Vec<&str> = reading.path.split('.').collect();
            let kind = parts.last().copied().unwrap_or_default();
            let text = match kind {
                // A name may stand in several places; the list has it once. Where that hides which is which, the kind
                // alone is said.
                "host_condition" => match hosts.next() {
                    Some(name) => format!("host_condition {name}"),
                    None => "host_condition".to_owned(),
                },
                "consecutive_failures" => format!("{kind} {}", reading.limit),
                _ => {
                    let unit = if kind == "latency_above" { " ms" } else { "" };
                    format!("{kind} {}{unit} over {}", output::number(reading.limit), reading.needed)
                }
            };
            (parts, text)
        })
        .collect();
    let leaves: Vec<(&[&str], &str)> = leaves.iter().map(|(parts, text)| (&parts[..], &text[..])).collect();
    branch(&leaves)
}

/// The leaves below one node. Those of one composition stand side by side and begin with the same word.
fn branch(leaves: &[(&[&str], &str)]) -> String {
    let Some(&(first, text)) = leaves.first() else { return String::new() };
    let composition = first.first().and_then(|part| part.split_once('['));
    let Some((kind, _)) = composition else { return text.to_owned() };
    let children = leaves.chunk_by(|(a, _), (b, _)| a.first() == b.first());
    let texts: Vec<String> = children
        .map(|child| {
            let below: Vec<(&[&str], &str)> =
                child.iter().map(|(parts, text)| (parts.get(1..).unwrap_or_default(), *text)).collect();
            branch(&below)
        })
        .collect();
    format!("{kind}({})", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(path: &str, limit: f64, needed: u32) -> Reading {
        Reading { path: path.to_owned(), value: None, limit, filled: 0, needed, holds: false }
    }

    #[test]
    fn trees_are_told_from_paths() {
        assert_eq!(tree(&[reading("quality_below", 0.7, 20)], &[]), "quality_below 0.7 over 20");
        let nested = [
            reading("any_of[0].all_of[0].quality_below", 0.5, 10),
            reading("any_of[0].all_of[1].latency_above", 2000.0, 5),
            reading("any_of[1].consecutive_failures", 3.0, 3),
            reading("any_of[2].host_condition", 1.0, 1),
        ];
        assert_eq!(
            tree(&nested, &["drift".to_owned()]),
            "any_of(all_of(quality_below 0.5 over 10, latency_above 2000 ms over 5), consecutive_failures 3, \
             host_condition drift)"
        );
    }
}
