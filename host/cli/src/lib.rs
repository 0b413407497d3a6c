//! All of the program `softfuse`, as a library, so that tests of other packages can have it built as well: it checks policies, replays
//! traces through the real breaker component, begins, tests and runs scorers, and writes the components out for other hosts.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail loudly"))]

mod args;
mod check;
mod components;
mod fail;
mod host;
mod output;
mod plot;
mod replay;
mod scorer;
mod scoring;
mod snippet;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, ScorerCommand};

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.color.write_global();
    let done = match &cli.command {
        Command::Check(args) => check::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Scorer(ScorerCommand::Run(args)) => scorer::run::run(args),
        Command::Scorer(ScorerCommand::Bench(args)) => scorer::bench::run(args),
        Command::Scorer(ScorerCommand::Inspect(args)) => scorer::inspect::run(args),
        Command::Scorer(ScorerCommand::New(args)) => scorer::new::run(args),
        Command::Scorer(ScorerCommand::Test(args)) => scorer::test::run(args),
        Command::Scorer(ScorerCommand::Componentize(args)) => scorer::componentize::run(args),
        Command::Components(args) => components::run(args),
    };
    match done {
        Ok(code) => code,
        Err(error) => fail::report(&error),
    }
}
