//! `softfuse components`: the breaker component, the built-in scorers and the contracts as files, for other hosts.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use softfuse::Builtin;
use softfuse::components::{BREAKER, BREAKER_WIT, SCORER_WIT};

use crate::args::ComponentsArgs;
use crate::output::{DIM, grouped};

/// Writes the files. Those that are there already with the same content are left alone.
///
/// # Errors
/// Where a file is there with another content and `--force` isn't given: then nothing is written. Where the folder can't
/// be written to.
pub(crate) fn run(args: &ComponentsArgs) -> anyhow::Result<ExitCode> {
    let files = files();
    let mut differing = Vec::new();
    let mut missing = Vec::new();
    for (name, bytes) in &files {
        let path = args.dir.join(name);
        match fs::read(&path) {
            Ok(found) if found == *bytes => {}
            Ok(_) if !args.force => differing.push(path.display().to_string()),
            Ok(_) => missing.push(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(name),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }
    anyhow::ensure!(
        differing.is_empty(),
        "{} differ{} from what would be written; nothing was written (--force writes over them)",
        differing.join(", "),
        if differing.len() == 1 { "s" } else { "" }
    );
    let mut out = anstream::stdout().lock();
    for (name, bytes) in &files {
        let path = args.dir.join(name);
        let written = missing.contains(&name);
        if written {
            write(&path, bytes).with_context(|| format!("can't write {}", path.display()))?;
        }
        let note = if written { "" } else { ", was there" };
        writeln!(out, "{} {DIM}({} bytes{note}){DIM:#}", path.display(), grouped(bytes.len() as u64))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every file with its content.
fn files() -> Vec<(String, &'static [u8])> {
    let scorers = Builtin::ALL.map(|builtin| (format!("scorers/{}.wasm", builtin.name()), builtin.bytes()));
    [("breaker.wasm".to_owned(), BREAKER)]
        .into_iter()
        .chain(scorers)
        .chain([
            ("wit/breaker/breaker.wit".to_owned(), BREAKER_WIT.as_bytes()),
            ("wit/scorer/scorer.wit".to_owned(), SCORER_WIT.as_bytes()),
        ])
        .collect()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}
