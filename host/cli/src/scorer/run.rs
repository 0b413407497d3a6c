//! `softfuse scorer run`: scores an exchange, or every line of a trace.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use softfuse::{CacheDir, ScoreOutcome};

use super::exchanges;
use crate::args::ScorerRunArgs;
use crate::fail::PROBLEMS;
use crate::output::{BAD, DIM, number};

#[derive(Serialize)]
struct Report {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    abstained: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<Failed>,
}

#[derive(Serialize)]
struct Failed {
    reason: &'static str,
    message: String,
}

/// Scores the exchanges.
///
/// # Errors
/// Where the scorer can't be loaded, or an exchange can't be read.
pub(crate) fn run(args: &ScorerRunArgs) -> anyhow::Result<ExitCode> {
    let scorer = super::load(CacheDir::Default, &args.scorer, args.config.as_deref(), false)?;
    let mut out = anstream::stdout().lock();
    let (mut scored, mut sum, mut abstained, mut failed) = (0_u64, 0.0, 0_u64, 0_u64);
    let unanswered = exchanges::each(&args.exchange, &mut |line, exchange| {
        let mut report = Report { line, score: None, abstained: None, failed: None };
        match scorer.score(&exchange) {
            ScoreOutcome::Score(score) => {
                scored += 1;
                sum += score.get();
                report.score = Some(score.get());
            }
            ScoreOutcome::Abstained(why) => {
                abstained += 1;
                report.abstained = Some(why);
            }
            ScoreOutcome::Failed(failure) => {
                failed += 1;
                report.failed = Some(Failed { reason: failure.as_str(), message: failure.to_string() });
            }
        }
        if args.json {
            serde_json::to_writer(&mut out, &report)?;
            writeln!(out)?;
        } else {
            match report {
                Report { score: Some(score), .. } => writeln!(out, "{line}: {}", number(score))?,
                Report { abstained: Some(why), .. } => writeln!(out, "{line}: {DIM}abstained: {why}{DIM:#}")?,
                Report { failed: Some(failed), .. } => writeln!(out, "{line}: {BAD}failed{BAD:#}: {}", failed.message)?,
                Report { .. } => {}
            }
        }
        Ok(true)
    })?;
    if !args.json && scored + abstained + failed > 1 {
        let mean = if scored > 0 { format!(", mean {}", number(sum / scored as f64)) } else { String::new() };
        writeln!(out, "{}: {scored} scored{mean}; {abstained} abstained, {failed} failed", scorer.name())?;
    }
    exchanges::tell_unanswered(unanswered)?;
    Ok(ExitCode::from(if failed > 0 { PROBLEMS } else { 0 }))
}
