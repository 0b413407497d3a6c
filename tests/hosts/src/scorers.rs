//! The scorers of `examples/scorers`, one in each language: built once, as their users build them, for every host's tests to run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::CARGOS_OWN;

/// The languages, each with its example's name.
pub const SCORERS: [(&str, &str); 5] = [
    ("rust", "grounded"),
    ("js", "json-schema"),
    ("python", "same-language"),
    ("c", "clean-text"),
    ("go", "code-blocks"),
];

/// What a scorer is built with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The program `softfuse`.
    pub program: PathBuf,
    /// Where tools that the registries have are installed, and what compilers keep, so that two projects share them.
    pub scratch: PathBuf,
}

impl Tools {
    /// Builds a project in its folder by its `build.sh`.
    ///
    /// # Errors
    /// Where that can't be started, or fails; what it printed is seen.
    pub fn build(&self, project: &Path) -> Result<()> {
        self.run(project, "sh", &["build.sh"])
    }

    /// Runs a command in a project's folder, with the tools that it is to find.
    ///
    /// # Errors
    /// Where it can't be started, or fails; what it printed is seen.
    pub fn run(&self, project: &Path, program: &str, arguments: &[&str]) -> Result<()> {
        let said = format!("{}: {program} {}", project.display(), arguments.join(" "));
        let mut command = Command::new(program);
        command.args(arguments).current_dir(project).stdin(Stdio::null());
        for name in CARGOS_OWN {
            command.env_remove(name);
        }
        command.env("SOFTFUSE", &self.program).env("SOFTFUSE_VENV", self.scratch.join("scorer-tools"));
        command.env("CARGO_TARGET_DIR", self.scratch.join("scorers-in-rust")).env_remove("CC");
        println!("\n== {said}");
        let status = command.status().with_context(|| said.clone())?;
        ensure!(status.success(), "{said}: {status}; what it needs is in its README.md");
        Ok(())
    }

    /// Runs a component's cases by `softfuse scorer test`, and gives back how many passed.
    ///
    /// # Errors
    /// Where it can't be started, or a case fails: then with what it printed.
    pub fn cases(&self, target: &Path, arguments: &[&str]) -> Result<usize> {
        let place = target.display();
        let mut test = Command::new(&self.program);
        // A machine that is busy with other tests is no fault of a scorer's.
        test.args(["scorer", "test", "--deadline-ms", "60000", "--start-deadline-ms", "120000"])
            .args(arguments)
            .arg(target);
        let done = test.output().with_context(|| format!("{place}: {}", self.program.display()))?;
        let out = String::from_utf8_lossy(&done.stdout);
        if !done.status.success() {
            bail!("{place}: {}\n{out}{}", done.status, String::from_utf8_lossy(&done.stderr));
        }
        println!("{out}");
        let last = out.lines().last().unwrap_or_default();
        let passed =
            last.strip_suffix(" passed, 0 failed").with_context(|| format!("{place}: the last line is `{last}`"))?;
        passed.parse().with_context(|| format!("{place}: `{last}`"))
    }
}

/// Builds every scorer, and copies each with its cases to `LANGUAGE/scorer.wasm` and `LANGUAGE/cases.toml` of the folder that is given back.
///
/// # Errors
/// Where one can't be built or copied.
pub fn build_all(root: &Path, tools: &Tools) -> Result<PathBuf> {
    let folder = tools.scratch.join("scorers");
    for (language, name) in SCORERS {
        let project = root.join("examples/scorers").join(language);
        tools.build(&project)?;
        let to = folder.join(language);
        fs::create_dir_all(&to).with_context(|| to.display().to_string())?;
        for (from, file) in [(format!("dist/{name}.wasm"), "scorer.wasm"), ("cases.toml".to_owned(), "cases.toml")] {
            let from = project.join(from);
            fs::copy(&from, to.join(file)).with_context(|| from.display().to_string())?;
        }
    }
    Ok(folder)
}
