//! `softfuse check`: every problem of every policy at once, and what a good policy does, in a line.

mod summary;

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use softfuse::{PolicyError, PolicyProblem, Registry};

use crate::args::CheckArgs;
use crate::fail::{IMPOSSIBLE, PROBLEMS, Wrong, wrong};
use crate::host::{self, PolicyText};
use crate::output::{self, BAD, GOOD};
use crate::snippet;

use summary::Summary;

/// What a file came to.
#[derive(Serialize)]
struct Report {
    policy: String,
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    /// Why the file could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

#[derive(Serialize)]
struct Problem {
    line: u32,
    column: u32,
    key: String,
    message: String,
    nearest: Option<String>,
}

/// Checks the files.
///
/// # Errors
/// Where the breaker component can't be loaded or fails, or the output can't be written.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let registry = host::registry(args.breaker.as_deref())?;
    let mut out = anstream::stdout().lock();
    let mut reports = Vec::new();
    for (index, path) in args.policies.iter().enumerate() {
        let report = match PolicyText::read(path) {
            Ok(policy) => {
                let (report, problems) = check(&registry, index, &policy)?;
                if !args.json {
                    out.write_all(snippet::render(&policy.name, &policy.text, &problems).as_bytes())?;
                }
                report
            }
            Err(error) if error.is::<Wrong>() => {
                let problem =
                    Problem { line: 1, column: 1, key: String::new(), message: format!("{error:#}"), nearest: None };
                if !args.json {
                    writeln!(out, "{BAD}error{BAD:#}: {error:#}\n")?;
                }
                Report { problems: vec![problem], ..empty(path.display().to_string()) }
            }
            Err(error) => {
                output::error(&format!("{error:#}"))?;
                Report { unreadable: Some(format!("{error:#}")), ..empty(path.display().to_string()) }
            }
        };
        if !args.json {
            match &report {
                Report { summary: Some(summary), policy, .. } => {
                    writeln!(out, "{GOOD}{policy}{GOOD:#}: ok: {summary}")?;
                }
                Report { problems, policy, unreadable: None, .. } => {
                    let plural = if problems.len() == 1 { "" } else { "s" };
                    writeln!(out, "{BAD}{policy}{BAD:#}: {} problem{plural}", problems.len())?;
                }
                Report { unreadable: Some(_), .. } => {}
            }
        }
        reports.push(report);
    }
    drop(out);
    if args.json {
        output::json(&reports)?;
    }
    let code = if reports.iter().any(|report| report.unreadable.is_some()) {
        IMPOSSIBLE
    } else if reports.iter().any(|report| !report.ok) {
        PROBLEMS
    } else {
        0
    };
    Ok(ExitCode::from(code))
}

fn empty(policy: String) -> Report {
    Report { policy, ok: false, problems: Vec::new(), summary: None, unreadable: None }
}

fn check(registry: &Registry, index: usize, policy: &PolicyText) -> anyhow::Result<(Report, Vec<PolicyProblem>)> {
    let report = empty(policy.name.clone());
    match registry.policy(&policy.name, &policy.text) {
        Ok(loaded) => {
            let summary = summary::summary(registry, &format!("check-{index}"), &loaded)
                .map_err(|error| wrong(format!("{}: {error:#}", policy.name)))?;
            Ok((Report { ok: true, summary: Some(summary), ..report }, Vec::new()))
        }
        Err(PolicyError::Invalid { problems, .. }) => {
            let list = problems.iter().cloned().map(Problem::from).collect();
            Ok((Report { problems: list, ..report }, problems))
        }
        Err(error) => Err(wrong(error.to_string())),
    }
}

impl From<PolicyProblem> for Problem {
    fn from(problem: PolicyProblem) -> Self {
        let PolicyProblem { line, column, key, message, nearest } = problem;
        Self { line, column, key, message, nearest }
    }
}
