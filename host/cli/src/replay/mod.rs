//! `softfuse replay`: a trace through the real breaker component, under one policy or several.

mod bands;
mod document;
mod lane;
mod tables;
mod tally;
mod when;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use softfuse::{Policy, PolicyError, Registry};
use softfuse_trace::Call;

use crate::args::ReplayArgs;
use crate::fail::{self, PROBLEMS, wrong};
use crate::host::{self, Failures, PolicyText};
use crate::output;
use crate::plot::{self, Series};
use crate::scoring::{self, ScorerArg, Scoring};
use crate::snippet;
use crate::trace::Trace;

pub(crate) use lane::Lane;
pub(crate) use tally::Tally;
pub(crate) use when::When;

/// After how many lines the progress bar is looked at again.
const PROGRESS_EVERY_LINES: u64 = 256;
/// How often the progress bar is drawn a second at most.
const PROGRESS_HZ: u8 = 10;

/// What a replay came to.
pub(crate) struct Replayed {
    pub(crate) trace: String,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) scoring: Scoring,
    pub(crate) calls: u64,
    pub(crate) lines: u64,
    pub(crate) bad_lines: u64,
    /// When the first call began.
    pub(crate) first_at: i64,
    /// When the last call ended.
    pub(crate) last_at: i64,
    pub(crate) when: When,
}

/// Replays the trace and reports.
///
/// # Errors
/// Where a file can't be read or written, a policy, a scorer or a line is wrong, or the breaker component fails.
pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    scoring::check(&args.scorer)?;
    let registry = host::registry(args.breaker.as_deref())?;
    let Some(policies) = policies(&registry, args)? else { return Ok(ExitCode::from(PROBLEMS)) };
    let uses_scores = policies.iter().any(|policy| policy.info().uses_scores);
    let scoring = if uses_scores {
        Scoring::load(registry.engine(), &args.scorer, args.scorer_combine)?
    } else {
        if args.scorer.iter().any(|scorer| *scorer != ScorerArg::None) {
            output::warning("--scorer isn't used: no policy looks at scores")?;
        }
        Scoring::nobody()
    };
    let trace = Trace::open(&args.trace, &args.map, args.skip_bad_lines)?;
    let (replayed, series) = replay(&registry, &policies, scoring, trace, args.plot.is_some())?;
    if let (Some(path), Some(series)) = (&args.plot, series) {
        let svg = plot::draw(&replayed, &series)?;
        std::fs::write(path, svg).with_context(|| format!("can't write the plot {}", path.display()))?;
    }
    if args.json {
        output::json(&document::document(&replayed)?)?;
    } else {
        tables::print(&replayed, args.plot.as_deref())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Loads the policies. None where there are problems, which are shown, those of all policies at once.
fn policies(registry: &Registry, args: &ReplayArgs) -> anyhow::Result<Option<Vec<Policy>>> {
    let mut policies = Vec::new();
    let mut wrong = false;
    for path in &args.policy {
        let policy = PolicyText::read(path)?;
        match registry.policy(&policy.name, &policy.text) {
            Ok(policy) => policies.push(policy),
            Err(PolicyError::Invalid { problems, .. }) => {
                wrong = true;
                anstream::eprint!("{}", snippet::render(&policy.name, &policy.text, &problems));
            }
            Err(error) => return Err(fail::wrong(error.to_string())),
        }
    }
    Ok((!wrong).then_some(policies))
}

fn replay(
    registry: &Registry,
    policies: &[Policy],
    mut scoring: Scoring,
    mut trace: Trace,
    plotted: bool,
) -> anyhow::Result<(Replayed, Option<Series>)> {
    let bar = progress(trace.source().bytes_total());
    let failures = Failures::of(registry);
    let mut lanes: Vec<Lane> = Vec::new();
    let mut series: Option<Series> = None;
    let mut calls = 0;
    let (mut first_at, mut last_at) = (0, 0);
    while let Some(call) = trace.next(&mut |parsed| scoring.score(parsed))? {
        if calls == 0 {
            (first_at, last_at) = (call.at, call.at);
            for (index, policy) in policies.iter().enumerate() {
                lanes.push(Lane::new(registry, &failures, &format!("replay-{index}"), policy, first_at)?);
            }
            series = plotted.then(|| Series::new(&lanes, first_at)).transpose()?;
        }
        calls += 1;
        last_at = last_at.max(call.at.saturating_add_unsigned(call.latency));
        let admitted = begin(&mut lanes, &call).with_context(|| trace.source().name().to_owned())?;
        if let Some(series) = &mut series {
            series.add(&call, admitted).with_context(|| trace.source().name().to_owned())?;
        }
        if calls % PROGRESS_EVERY_LINES == 0 {
            bar.set_position(trace.source().bytes_read());
        }
    }
    if calls == 0 {
        return Err(wrong(format!("{}: there is no call in the trace", trace.source().name())));
    }
    for lane in &mut lanes {
        lane.finish().with_context(|| trace.source().name().to_owned())?;
    }
    if let Some(series) = &mut series {
        series.finish();
    }
    bar.finish_and_clear();
    for unused in trace.unused_mappings() {
        output::warning(&unused)?;
    }
    let replayed = Replayed {
        trace: trace.source().name().to_owned(),
        lanes,
        scoring,
        calls,
        lines: trace.source().line(),
        bad_lines: trace.bad_lines(),
        first_at,
        last_at,
        when: When::of(first_at, trace.is_dated()),
    };
    Ok((replayed, series))
}

/// Whether the call was admitted; under several policies each has its own mind, so it counts as admitted.
fn begin(lanes: &mut [Lane], call: &Call) -> anyhow::Result<bool> {
    let several = lanes.len() > 1;
    let mut any = several;
    for lane in lanes {
        any |= lane.begin(call)?;
    }
    Ok(any)
}

/// A bar on a terminal; nothing anywhere else.
fn progress(bytes_total: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(PROGRESS_HZ);
    let bar = ProgressBar::with_draw_target(bytes_total, target);
    let template = match bytes_total {
        Some(_) => "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}",
        None => "{spinner} {bytes} {bytes_per_sec}",
    };
    // The templates are fixed and right; were one not, the bar would have its default look.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_secs(1) / u32::from(PROGRESS_HZ));
    bar
}
