//! `softfuse scorer inspect`: what a component imports and exports, who made it, and whether it would be loaded.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use softfuse::{CacheDir, Engine, Registry, Scorer, ScorerError, ScorerFailure, ScorerSettings};
use wasm_metadata::Producers;
use wit_parser::decoding::{DecodedWasm, decode};

use crate::args::ScorerInspectArgs;
use crate::fail::PROBLEMS;
use crate::output::{self, BAD, BOLD, DIM, GOOD, WARN};
use crate::scoring::ComponentArg;

#[derive(Serialize)]
struct Report {
    component: String,
    bytes: u64,
    /// `component`, `core module`, `WIT package`, or `nothing that can be read`.
    kind: &'static str,
    imports: Vec<String>,
    exports: Vec<String>,
    /// As in `language: Rust 1.95`.
    producers: Vec<String>,
    /// Whether it would be loaded, and as what.
    verdict: Verdict,
}

#[derive(Serialize)]
struct Verdict {
    granted: bool,
    /// `scorer`, `streaming scorer` or `breaker`.
    loads_as: Option<&'static str>,
    /// What stands against it, or is to be known.
    note: Option<String>,
}

/// Inspects a component. The exit code says whether it would be loaded.
///
/// # Errors
/// Where the file can't be read, or the engine can't be set up.
pub(crate) fn run(args: &ScorerInspectArgs) -> anyhow::Result<ExitCode> {
    let name = args.component.to_string();
    let bytes = match &args.component {
        ComponentArg::Builtin(builtin) => builtin.bytes().to_vec(),
        ComponentArg::File(path) => fs::read(path).with_context(|| format!("can't read {}", path.display()))?,
    };
    let engine = Engine::new(CacheDir::Default)?;
    let mut report = describe(name, &bytes);
    report.verdict = verdict(&engine, &report.component, &bytes);
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::from(if report.verdict.granted { 0 } else { PROBLEMS }))
}

fn describe(component: String, bytes: &[u8]) -> Report {
    let mut report = Report {
        component,
        bytes: bytes.len() as u64,
        kind: "nothing that can be read",
        imports: Vec::new(),
        exports: Vec::new(),
        producers: Vec::new(),
        verdict: Verdict { granted: false, loads_as: None, note: None },
    };
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        report.kind = "core module";
    } else if let Ok(decoded) = decode(bytes) {
        match decoded {
            DecodedWasm::WitPackage(..) => report.kind = "WIT package",
            DecodedWasm::Component(resolve, world) => {
                report.kind = "component";
                // The decoder has just made this world.
                let world = &resolve.worlds[world];
                report.imports = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
                report.exports = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
            }
        }
    }
    if let Ok(Some(producers)) = Producers::from_wasm(bytes) {
        for (field, values) in producers.iter() {
            let values = values.iter().map(|(name, version)| format!("{field}: {name} {version}").trim().to_owned());
            report.producers.extend(values);
        }
    }
    report
}

/// Loads it, as a host would.
fn verdict(engine: &Engine, name: &str, bytes: &[u8]) -> Verdict {
    let refused = match Scorer::from_bytes(engine, name, bytes, ScorerSettings::default()) {
        Ok(scorer) => {
            let loads_as = if scorer.is_streaming() { "streaming scorer" } else { "scorer" };
            return Verdict { granted: true, loads_as: Some(loads_as), note: None };
        }
        // It is one that wants to be configured.
        Err(ScorerError::Failed { failure: failure @ ScorerFailure::BadConfig(_), .. }) => {
            let note = Some(format!("without a configuration {failure}"));
            return Verdict { granted: true, loads_as: Some("scorer"), note };
        }
        Err(error) => error.to_string(),
    };
    let registry = Registry::builder().engine(engine).component_bytes(name, bytes).build();
    match registry {
        Ok(_) => Verdict { granted: true, loads_as: Some("breaker"), note: None },
        Err(_) => Verdict { granted: false, loads_as: None, note: Some(refused) },
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{}{BOLD:#}: {}, {} bytes", report.component, report.kind, output::grouped(report.bytes))?;
    let list = |out: &mut dyn Write, what: &str, items: &[String]| {
        if items.is_empty() {
            return writeln!(out, "  {what:9} {DIM}none{DIM:#}");
        }
        for (index, item) in items.iter().enumerate() {
            writeln!(out, "  {:9} {item}", if index == 0 { what } else { "" })?;
        }
        Ok(())
    };
    list(&mut out, "imports", &report.imports)?;
    list(&mut out, "exports", &report.exports)?;
    list(&mut out, "made by", &report.producers)?;
    match &report.verdict {
        Verdict { loads_as: Some(kind), note: None, .. } => {
            writeln!(out, "  {GOOD}would be loaded{GOOD:#} as a {kind}")?
        }
        Verdict { loads_as: Some(kind), note: Some(note), .. } => {
            writeln!(out, "  {WARN}would be loaded{WARN:#} as a {kind}; {note}")?;
        }
        Verdict { note, .. } => {
            let why = note.as_deref().unwrap_or("it is no scorer");
            writeln!(out, "  {BAD}would not be loaded{BAD:#}: {why}")?;
        }
    }
    Ok(())
}
