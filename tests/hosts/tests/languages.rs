//! Each host's own tests: its package is built, installed into a clean place, and used from there.

use std::path::Path;

use softfuse_hosts::{Step, test};

fn run(folder: &str, steps: &[Step<'_>]) {
    if let Err(error) = test(folder, Path::new(env!("CARGO_TARGET_TMPDIR")), steps) {
        panic!("{error:#}");
    }
}

#[test]
fn javascript() {
    let step = |command| Step { command, from: "Node.js 20 or later" };
    // Its tests run a scorer in JavaScript, too.
    let scorers = ["npm", "ci", "--no-audit", "--no-fund", "--prefix", "../../examples/scorers/js"];
    run("host/js", &[step(&scorers), step(&["npm", "ci", "--no-audit", "--no-fund"]), step(&["npm", "test"])]);
}

#[test]
fn go() {
    run("host/go", &[Step { command: &["bash", "check.sh"], from: "bash, and Go 1.26" }]);
}

#[test]
fn python() {
    run("host/python", &[Step { command: &["python3", "test.py"], from: "Python 3.10 or later" }]);
}
