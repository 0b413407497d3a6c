//! `softfuse scorer test`: runs a plugin's own cases in the sandbox in which a service would run it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use softfuse::{Builtin, CacheDir, Engine, ScoreOutcome, Scorer, ScorerError, ScorerFailure, ScorerSettings};

use super::cases::{Case, Cases, Wanted};
use crate::args::ScorerTestArgs;
use crate::fail::{PROBLEMS, wrong};
use crate::output::{self, BAD, BOLD, DIM, GOOD, number};
use crate::scoring;

/// A project's cases.
const CASES: &str = "cases.toml";
/// Where a project's build puts its component.
const DIST: &str = "dist";
/// The longest deadline that a scorer may have.
const DEADLINE_MAX: Duration = Duration::from_secs(3_600);

#[derive(Serialize)]
struct Report {
    scorer: String,
    component: String,
    bytes: usize,
    cases_file: String,
    passed: usize,
    failed: usize,
    cases: Vec<CaseReport>,
}

#[derive(Serialize)]
struct CaseReport {
    name: String,
    passed: bool,
    expected: String,
    came: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    /// What the call took; where the configuration is the case, what starting took.
    took_us: f64,
}

/// What is tested, and by which cases.
struct Tested {
    name: String,
    component: PathBuf,
    bytes: Vec<u8>,
    cases_file: PathBuf,
}

/// Runs the cases. The exit code says whether all of them passed.
///
/// # Errors
/// Where there is no component, or no cases; where one of the files can't be read; where the component is no scorer.
pub(crate) fn run(args: &ScorerTestArgs) -> anyhow::Result<ExitCode> {
    let tested = find(args)?;
    let cases_file = tested.cases_file.display();
    let text = fs::read_to_string(&tested.cases_file).with_context(|| format!("can't read the cases {cases_file}"))?;
    let cases = Cases::read(&text).map_err(|message| wrong(format!("{cases_file}: {message}")))?;
    let config = match &args.config {
        Some(path) => scoring::config(Some(path))?,
        None => cases.config.clone().unwrap_or_default(),
    };
    let settings = settings(args)?;
    let engine = Engine::new(CacheDir::Default)?;
    let mut report = Report {
        scorer: tested.name.clone(),
        component: tested.component.display().to_string(),
        bytes: tested.bytes.len(),
        cases_file: cases_file.to_string(),
        passed: 0,
        failed: 0,
        cases: Vec::with_capacity(cases.cases.len()),
    };
    // A scorer is loaded once for cases of one configuration that follow one another.
    let mut loaded: Option<(String, Scorer)> = None;
    for case in &cases.cases {
        let wanted = case.wanted().map_err(wrong)?;
        let config = case.config.as_ref().unwrap_or(&config);
        if loaded.as_ref().is_none_or(|(of, _)| of != config) {
            loaded = None;
        }
        let done = try_case(case, wanted, loaded.take(), || {
            let settings = ScorerSettings { config: config.clone(), ..settings.clone() };
            let scorer = Scorer::from_bytes(&engine, &tested.name, &tested.bytes, settings);
            scorer.map(|scorer| (config.clone(), scorer))
        });
        let (outcome, took, kept) = done.map_err(|error| wrong(format!("{}: {error}", tested.component.display())))?;
        loaded = kept;
        report.add(case, wanted, &outcome, took);
    }
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::from(if report.failed > 0 { PROBLEMS } else { 0 }))
}

/// What came of a case, what it took, and the scorer for the next one.
type Done = (ScoreOutcome, Duration, Option<(String, Scorer)>);

/// Runs one case. A scorer that refuses its configuration, or doesn't start, is an outcome; one that can't be loaded is none.
fn try_case(
    case: &Case,
    wanted: Wanted<'_>,
    loaded: Option<(String, Scorer)>,
    load: impl FnOnce() -> Result<(String, Scorer), ScorerError>,
) -> Result<Done, ScorerError> {
    let begun = Instant::now();
    let (config, scorer) = match loaded.map_or_else(load, Ok) {
        Ok(loaded) => loaded,
        Err(ScorerError::Failed { failure, .. }) => return Ok((ScoreOutcome::Failed(failure), begun.elapsed(), None)),
        Err(error) => return Err(error),
    };
    if matches!(wanted, Wanted::Misconfigured(_)) {
        // It took its configuration, and was not to.
        let said = ScoreOutcome::Abstained("it takes that configuration".to_owned());
        return Ok((said, begun.elapsed(), Some((config, scorer))));
    }
    let exchange = case.exchange();
    let begun = Instant::now();
    let outcome = scorer.score(&exchange);
    Ok((outcome, begun.elapsed(), Some((config, scorer))))
}

/// Finds the component and its cases.
fn find(args: &ScorerTestArgs) -> anyhow::Result<Tested> {
    let target = &args.target;
    let builtin = target.to_str().and_then(Builtin::named).filter(|_| !target.exists());
    let (component, name, bytes, folders) = if let Some(builtin) = builtin {
        (target.clone(), builtin.name().to_owned(), builtin.bytes().to_vec(), Vec::new())
    } else {
        let (component, folders) = if target.is_dir() {
            (only_component(&target.join(DIST))?, vec![target.clone()])
        } else {
            let folder = target.parent().map(Path::to_owned).unwrap_or_default();
            (target.clone(), vec![folder.clone(), folder.join("..")])
        };
        let bytes = fs::read(&component).with_context(|| format!("can't read the scorer {}", component.display()))?;
        let name = component.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        (component, name, bytes, folders)
    };
    let cases_file = match &args.cases {
        Some(file) => file.clone(),
        None => match folders.iter().map(|folder| folder.join(CASES)).find(|file| file.exists()) {
            Some(found) => found,
            None => bail!("{}: there is no {CASES} beside it; --cases says where they are", target.display()),
        },
    };
    Ok(Tested { name, component, bytes, cases_file })
}

/// The component that a project's build has made.
fn only_component(dist: &Path) -> anyhow::Result<PathBuf> {
    let place = dist.display();
    let listed = match fs::read_dir(dist) {
        Ok(listed) => listed,
        Err(error) => return Err(error).with_context(|| format!("no component in {place}: is the project built?")),
    };
    let mut found = Vec::new();
    for entry in listed {
        let path = entry.with_context(|| format!("can't read {place}"))?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            found.push(path);
        }
    }
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => bail!("no component in {place}: is the project built?"),
        several => bail!("{} components in {place}; name the one that is to be tested", several.len()),
    }
}

fn settings(args: &ScorerTestArgs) -> anyhow::Result<ScorerSettings> {
    let defaults = ScorerSettings::default();
    let span = |millis: Option<u64>, name: &str, default: Duration| {
        let Some(millis) = millis else { return Ok(default) };
        let span = Duration::from_millis(millis);
        ensure!(
            (Duration::from_millis(1)..=DEADLINE_MAX).contains(&span),
            "{name} is {millis}, and may be 1 to 3,600,000"
        );
        Ok(span)
    };
    Ok(ScorerSettings {
        fresh: args.fresh,
        // Cases come one after another.
        instances_max: 1,
        deadline: span(args.deadline_ms, "--deadline-ms", defaults.deadline)?,
        start_deadline: span(args.start_deadline_ms, "--start-deadline-ms", defaults.start_deadline)?,
        ..defaults
    })
}

impl Report {
    fn add(&mut self, case: &Case, wanted: Wanted<'_>, outcome: &ScoreOutcome, took: Duration) {
        let passed = wanted.is_met_by(outcome);
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        let came = match outcome {
            ScoreOutcome::Score(score) => format!("a score of {}", number(score.get())),
            ScoreOutcome::Abstained(_) if matches!(wanted, Wanted::Misconfigured(_)) => {
                "it takes that configuration".to_owned()
            }
            ScoreOutcome::Abstained(why) => format!("an abstention: {why}"),
            ScoreOutcome::Failed(ScorerFailure::Malformed(why)) => format!("an error `malformed`: {why}"),
            ScoreOutcome::Failed(failure) => format!("a failure: {failure}"),
        };
        self.cases.push(CaseReport {
            name: case.name.clone(),
            passed,
            expected: wanted.to_string(),
            came,
            score: outcome.score().map(|score| score.get()),
            took_us: took.as_nanos() as f64 / 1e3,
        });
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let bytes = output::grouped(report.bytes as u64);
    writeln!(out, "{BOLD}{}{BOLD:#}: {}, {bytes} bytes, {}", report.scorer, report.component, report.cases_file)?;
    for case in &report.cases {
        let took = output::span((case.took_us * 1e3) as u64);
        if case.passed {
            writeln!(out, "  {GOOD}ok{GOOD:#}      {}: {} {DIM}({took}){DIM:#}", case.name, case.came)?;
        } else {
            writeln!(
                out,
                "  {BAD}FAILED{BAD:#}  {}: expected {}; came {} {DIM}({took}){DIM:#}",
                case.name, case.expected, case.came
            )?;
        }
    }
    writeln!(out, "{} passed, {} failed", report.passed, report.failed)?;
    Ok(())
}
