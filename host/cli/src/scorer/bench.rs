//! `softfuse scorer bench`: what a scorer costs, instance reused and instance fresh.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use softfuse::{CacheDir, Exchange, ScoreOutcome, Scorer};

use super::exchanges;
use crate::args::ScorerBenchArgs;
use crate::fail::wrong;
use crate::output::{self, BOLD};

/// How many exchanges are taken in turn.
const EXCHANGES_MAX: usize = 1_000;
/// How many bytes they have together at most; one may have more.
const EXCHANGES_BYTES_MAX: usize = 64 << 20;
/// Calls that aren't counted, at first, as a share of those that are: one in so many.
const WARM_UP_SHARE: u32 = 10;

#[derive(Serialize)]
struct Report {
    scorer: String,
    exchanges: usize,
    calls: u32,
    mean_answer_bytes: u64,
    /// Compiling, with nothing kept, and starting the first instance.
    load_cold_us: f64,
    /// The same with compiled code kept from before.
    load_cached_us: f64,
    reused: Quantiles,
    fresh: Quantiles,
    /// What one waiting instance holds after the calls.
    memory_bytes: usize,
}

/// Microseconds a call.
#[derive(Serialize)]
struct Quantiles {
    median_us: f64,
    p95_us: f64,
    max_us: f64,
}

/// Times the scorer.
///
/// # Errors
/// Where it can't be loaded, fails, or an exchange can't be read.
pub(crate) fn run(args: &ScorerBenchArgs) -> anyhow::Result<ExitCode> {
    let (gathered, unanswered) = gather(args)?;
    let config = args.config.as_deref();
    let timed = |cache: CacheDir, fresh: bool| -> anyhow::Result<(Scorer, Duration)> {
        let begun = Instant::now();
        let scorer = super::load(cache, &args.scorer, config, fresh)?;
        Ok((scorer, begun.elapsed()))
    };
    let (_, cold) = timed(CacheDir::None, false)?;
    // The first one sees to it that compiled code is kept.
    drop(timed(CacheDir::Default, false)?);
    let (reused, cached) = timed(CacheDir::Default, false)?;
    let (fresh, _) = timed(CacheDir::Default, true)?;
    let report = Report {
        scorer: reused.name().to_string(),
        exchanges: gathered.len(),
        calls: args.calls,
        mean_answer_bytes: mean_bytes(&gathered),
        load_cold_us: micros(cold),
        load_cached_us: micros(cached),
        reused: time(&reused, &gathered, args.calls)?,
        fresh: time(&fresh, &gathered, args.calls)?,
        memory_bytes: reused.memory_bytes(),
    };
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    exchanges::tell_unanswered(unanswered)?;
    Ok(ExitCode::SUCCESS)
}

/// The exchanges, and how many calls before the last of them have no response.
fn gather(args: &ScorerBenchArgs) -> anyhow::Result<(Vec<Exchange>, u64)> {
    let mut gathered: Vec<Exchange> = Vec::new();
    let mut bytes = 0;
    let unanswered = exchanges::each(&args.exchange, &mut |_, exchange| {
        bytes += exchange.answer.bytes.len() + exchange.head.request.bytes.len();
        gathered.push(exchange);
        Ok(gathered.len() < EXCHANGES_MAX && bytes < EXCHANGES_BYTES_MAX)
    })?;
    Ok((gathered, unanswered))
}

fn mean_bytes(exchanges: &[Exchange]) -> u64 {
    let sum: usize = exchanges.iter().map(|exchange| exchange.answer.bytes.len()).sum();
    sum.checked_div(exchanges.len()).unwrap_or(0) as u64
}

/// Calls the scorer, with the exchanges in turn.
fn time(scorer: &Scorer, exchanges: &[Exchange], calls: u32) -> anyhow::Result<Quantiles> {
    let warm_up = calls / WARM_UP_SHARE;
    // At most as many as the command line takes.
    let mut spans: Vec<Duration> = Vec::with_capacity(calls as usize);
    for (index, exchange) in (0..warm_up + calls).zip(exchanges.iter().cycle()) {
        let begun = Instant::now();
        let outcome = scorer.score(exchange);
        let span = begun.elapsed();
        if let ScoreOutcome::Failed(failure) = outcome {
            return Err(wrong(format!("the scorer {} failed: {failure}", scorer.name())));
        }
        if index >= warm_up {
            spans.push(span);
        }
    }
    spans.sort_unstable();
    let at = |share: f64| spans.get(((spans.len() - 1) as f64 * share).round() as usize).copied().unwrap_or_default();
    Ok(Quantiles { median_us: micros(at(0.5)), p95_us: micros(at(0.95)), max_us: micros(at(1.0)) })
}

fn micros(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e3
}

fn print(report: &Report) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "{BOLD}{}{BOLD:#}: {} calls, {} exchanges with answers of {} bytes in the mean",
        report.scorer,
        output::grouped(report.calls.into()),
        report.exchanges,
        output::grouped(report.mean_answer_bytes)
    )?;
    writeln!(out, "  compile and start  {:>10.1} us", report.load_cold_us)?;
    writeln!(out, "  start from cache   {:>10.1} us", report.load_cached_us)?;
    for (name, quantiles) in [("reused instance", &report.reused), ("fresh instance", &report.fresh)] {
        let Quantiles { median_us, p95_us, max_us } = quantiles;
        writeln!(out, "  {name:18} {median_us:>10.1} us median, {p95_us:.1} us at 95 %, {max_us:.1} us at most")?;
    }
    writeln!(out, "  memory             {:>10} bytes", output::grouped(report.memory_bytes as u64))?;
    Ok(())
}
