//! The hosts in other languages are tested by their own tools; this library gives them what the build has made, and starts them.

pub mod in_c;
pub mod scorers;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use softfuse::Builtin;
use softfuse::components::{BREAKER, BREAKER_WIT, SCORER_WIT};
// Go opens the C library; being asked for is what has it built.
use softfuse_c as _;

use scorers::Tools;

/// Random histories that each host is compared with the core on.
const HISTORIES: usize = 500;
/// Steps of a history at most.
const OPS_MAX: usize = 60;

/// What cargo sets for the programs that it runs.
pub(crate) const CARGOS_OWN: [&str; 4] =
    ["CARGO_ENCODED_RUSTFLAGS", "CARGO_MAKEFLAGS", "CARGO_TARGET_TMPDIR", "RUSTC_WRAPPER"];

/// Hosts are tested one after another: their runners take all cores that there are, and their reports stay whole. The first
/// [prepares](prepare) what all of them need.
static PREPARED: Mutex<Option<Prepared>> = Mutex::new(None);

/// What all hosts' tests need.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The breaker component, the scorers that come with it, and the contracts.
    pub components: PathBuf,
    /// Random histories.
    pub vectors: PathBuf,
    /// The [scorers] in five languages, with their cases.
    pub scorers: PathBuf,
}

/// A command of a host's test, and what to install where its program is missing.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// A program, and its arguments.
    pub command: &'a [&'a str],
    /// Where the program comes from.
    pub from: &'a str,
}

/// The project's root.
///
/// # Errors
/// Where it is gone.
pub fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().context("the project's root")
}

/// Does something with what all hosts' tests need, while no other test does. The first one waits until it is prepared.
///
/// # Errors
/// Where it can't be prepared, or what is done fails.
pub fn prepared<T>(tools: &Tools, then: impl FnOnce(&Prepared) -> Result<T>) -> Result<T> {
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *prepared {
        Some(paths) => then(paths),
        none => then(none.insert(prepare(tools)?)),
    }
}

/// Runs a host's tests in its folder, as in `host/go`: one command after another. What they print is seen as it comes.
///
/// # Errors
/// For a command that can't be started, or that fails.
pub fn test(folder: &str, tools: &Tools, steps: &[Step<'_>]) -> Result<()> {
    prepared(tools, |paths| run(folder, paths, steps))
}

fn run(folder: &str, paths: &Prepared, steps: &[Step<'_>]) -> Result<()> {
    let root = root()?;
    ensure!(!steps.is_empty(), "{folder}: nothing would be tested");
    for Step { command, from } in steps {
        let [program, arguments @ ..] = command else { bail!("{folder}: a command without a program") };
        println!("\n== {folder}: {}", command.join(" "));
        let mut test = Command::new(program);
        test.args(arguments).current_dir(root.join(folder));
        test.env("SOFTFUSE_COMPONENTS", &paths.components).env("SOFTFUSE_VECTORS", &paths.vectors);
        test.env("SOFTFUSE_SCORERS", &paths.scorers);
        test.env("SOFTFUSE_LIBRARY", c_library()?);
        // What cargo tells its own programs isn't for another cargo, which a host's tests may start.
        for name in CARGOS_OWN {
            test.env_remove(name);
        }
        match test.status() {
            Ok(status) => ensure!(status.success(), "{folder}: `{}` failed: {status}", command.join(" ")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!(
                    "{folder}: there is no `{program}`; it comes with {from}. `cargo test --workspace --exclude softfuse-hosts` does without"
                )
            }
            Err(error) => return Err(error).with_context(|| format!("{folder}: `{program}`")),
        }
    }
    Ok(())
}

/// The C library, which cargo has put beside this test.
///
/// # Errors
/// Where it isn't there.
pub fn c_library() -> Result<PathBuf> {
    let test = std::env::current_exe().context("this program")?;
    let name = format!("{}softfuse_c{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = test.with_file_name(name);
    ensure!(library.is_file(), "{} isn't there", library.display());
    Ok(library)
}

/// Writes down what hosts are built from and compared with: the components, random histories, and scorers in five languages.
fn prepare(tools: &Tools) -> Result<Prepared> {
    let scratch = &tools.scratch;
    let components = scratch.join("components");
    write(&components.join("breaker.wasm"), BREAKER)?;
    for scorer in Builtin::ALL {
        write(&components.join(format!("scorers/{}.wasm", scorer.name())), scorer.bytes())?;
    }
    write(&components.join("wit/breaker/breaker.wit"), BREAKER_WIT.as_bytes())?;
    write(&components.join("wit/scorer/scorer.wit"), SCORER_WIT.as_bytes())?;
    let mut histories = String::new();
    let mut tripped = 0;
    for recorded in softfuse_testkit::recorded::random(HISTORIES, OPS_MAX)? {
        histories.push_str(&recorded.text);
        histories.push('\n');
        tripped += usize::from(recorded.observed.trips() > 0);
    }
    ensure!(tripped > HISTORIES / 10, "histories that never trip prove nothing: {tripped} did");
    let vectors = scratch.join("histories.toml");
    write(&vectors, histories.as_bytes())?;
    let scorers = scorers::build_all(&root()?, tools)?;
    Ok(Prepared { components, vectors, scorers })
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
