//! Each host's own tests: its package is built, installed into a clean place, and used from there. And scorers in the same languages.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::fs;
use std::path::Path;
use std::process::Command;

use softfuse_hosts::scorers::{SCORERS, Tools};
use softfuse_hosts::{Step, c_library, in_c, prepared, root, test};

fn tools() -> Tools {
    Tools { program: env!("CARGO_BIN_EXE_softfuse-in-tests").into(), scratch: env!("CARGO_TARGET_TMPDIR").into() }
}

fn run(folder: &str, steps: &[Step<'_>]) {
    if let Err(error) = test(folder, &tools(), steps) {
        panic!("{error:#}");
    }
}

/// `softfuse` with these arguments: what it printed, and whether it was content.
fn softfuse(arguments: &[&str], folder: &Path) -> (bool, String) {
    let done = Command::new(tools().program).args(arguments).current_dir(folder).output().unwrap();
    (done.status.success(), String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap())
}

/// The Rust host runs them, reused and fresh; those of languages that compile to one module need nothing from outside.
#[test]
fn scorers_in_five_languages_pass_their_cases() {
    let done = prepared(&tools(), |paths| {
        for (language, name) in SCORERS {
            let component = paths.scorers.join(language).join("scorer.wasm");
            // Python's 51 MB would be compiled once more for fresh instances: half a minute that shows nothing new.
            let runs = if language == "python" { 1 } else { 2 };
            for arguments in [&[][..], &["--fresh"]].into_iter().take(runs) {
                let passed = tools().cases(&component, arguments)?;
                assert!(passed >= 10, "{name}: {passed} cases");
            }
            if ["rust", "c", "go"].contains(&language) {
                let (_, said) = softfuse(&["scorer", "inspect", component.to_str().unwrap()], &paths.scorers);
                assert!(said.contains("imports   none"), "{said}");
            }
        }
        Ok(())
    });
    done.unwrap_or_else(|error| panic!("{error:#}"));
}

/// What its README says beside.
#[test]
fn the_scorer_in_rust_passes_its_own_tests() {
    let project = root().unwrap().join("examples/scorers/rust");
    // By the profile that it is built with, which has most of its libraries ready.
    let done = prepared(&tools(), |_| tools().run(&project, "cargo", &["test", "--locked", "--release", "--lib"]));
    done.unwrap_or_else(|error| panic!("{error:#}"));
}

/// As its user would: written, built by its one command, tested.
#[test]
fn a_new_scorer_of_every_language_builds_and_passes() {
    let done = prepared(&tools(), |_| {
        let scratch = tools().scratch.join("new-scorers");
        // What is left there was written by another version.
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch)?;
        for (language, _) in SCORERS {
            let name = format!("polite-{language}");
            let (content, said) = softfuse(&["scorer", "new", "--lang", language, &name], &scratch);
            assert!(content, "{said}");
            let project = scratch.join(&name);
            tools().build(&project)?;
            assert_eq!(tools().cases(&project, &[])?, 8, "{name}");
            // Nothing is written over it.
            let (content, said) = softfuse(&["scorer", "new", "--lang", language, &name], &scratch);
            assert!(!content && said.contains("is there already, and isn't empty"), "{said}");
        }
        Ok(())
    });
    done.unwrap_or_else(|error| panic!("{error:#}"));
}

/// By the C library, which Go and other languages load, too. Its own tests are cargo's.
#[test]
fn c() {
    let done = prepared(&tools(), |paths| {
        let (root, library) = (root()?, c_library()?);
        let installed = in_c::install(&root, library.parent().unwrap(), &tools())?;
        for (language, name) in SCORERS {
            let passed = in_c::cases(&root, &installed, &paths.scorers.join(language), &tools())?;
            assert!(passed >= 10, "{name}: {passed} cases");
        }
        Ok(())
    });
    done.unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn javascript() {
    let step = |command| Step { command, from: "Node.js 20 or later" };
    run("host/js", &[step(&["npm", "ci", "--no-audit", "--no-fund"]), step(&["npm", "test"])]);
}

#[test]
fn go() {
    run("host/go", &[Step { command: &["bash", "check.sh"], from: "bash, and Go 1.26" }]);
}

#[test]
fn python() {
    run("host/python", &[Step { command: &["python3", "test.py"], from: "Python 3.10 or later" }]);
}
