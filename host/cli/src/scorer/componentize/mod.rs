//! `softfuse scorer componentize`: makes a scorer component of a core module, as compilers of C, Go and others write them. No tool
//! beside the language's own compiler is needed, and the component imports nothing: what a language's runtime asks of WASI is
//! answered inside it.

mod close;
mod parts;
mod stub;

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use softfuse::components::SCORER_WIT;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::args::ScorerComponentizeArgs;
use crate::fail::wrong;
use crate::output::{DIM, grouped};

/// What the functions of the streaming interface begin with, where a module has them.
const STREAMING: &str = "softfuse:scorer/streaming@";
/// What the functions of every scorer begin with.
const SCORER: &str = "softfuse:scorer/scorer@";
/// The custom section by which a module says which world it was made for.
const WORLD_SECTION: &str = "component-type";

/// Makes the component.
///
/// # Errors
/// Where the module can't be read, is none, imports what nobody answers, or doesn't export what a scorer does; where the component
/// can't be written.
pub(crate) fn run(args: &ScorerComponentizeArgs) -> anyhow::Result<ExitCode> {
    let place = args.module.display();
    let bytes = fs::read(&args.module).with_context(|| format!("can't read {place}"))?;
    let made = component(&bytes).map_err(|message| wrong(format!("{place}: {message}")))?;
    if let Some(folder) = args.output.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    let output = args.output.display();
    fs::write(&args.output, &made.bytes).with_context(|| format!("can't write {output}"))?;
    let mut out = anstream::stdout().lock();
    let inside = match made.answered {
        0 => String::new(),
        1 => ", 1 import of WASI answered inside".to_owned(),
        count => format!(", {count} imports of WASI answered inside"),
    };
    writeln!(out, "{output} {DIM}({} bytes, imports: none{inside}){DIM:#}", grouped(made.bytes.len() as u64))?;
    Ok(ExitCode::SUCCESS)
}

/// A component that imports nothing.
#[derive(Debug)]
struct Made {
    bytes: Vec<u8>,
    /// Imports of WASI that are answered inside.
    answered: usize,
}

/// Makes a component of a core module, or says why that can't be done.
fn component(module: &[u8]) -> Result<Made, String> {
    let parts = parts::read(module)?;
    if !parts.exports.iter().any(|name| name.starts_with(SCORER)) {
        return Err(format!("no scorer: nothing that it exports begins with `{SCORER}`"));
    }
    let answered = parts.imports.len();
    let mut closed = close::closed(&parts)?;
    if !parts.customs.iter().any(|(name, _)| name.starts_with(WORLD_SECTION)) {
        let streams = parts.exports.iter().any(|name| name.starts_with(STREAMING));
        embed(&mut closed, if streams { "streaming-scorer" } else { "answer-scorer" })
            .map_err(|error| format!("{error:#}"))?;
    }
    let encoded = ComponentEncoder::default().validate(true).module(&closed).and_then(|mut encoder| encoder.encode());
    let bytes = encoded.map_err(|error| format!("this is no scorer by its contract: {error:#}"))?;
    Ok(Made { bytes, answered })
}

/// Writes into a module which world it is made for.
fn embed(module: &mut Vec<u8>, world: &str) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("scorer.wit", SCORER_WIT).map_err(|error| anyhow!("the contract: {error:?}"))?;
    let world = resolve.select_world(&[package], Some(world))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}
