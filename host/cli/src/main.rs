//! The program `softfuse`: it checks policies, replays traces through the real breaker component, runs scorers, and writes
//! the components out for other hosts.
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.color.write_global();
    let done = match &cli.command {
        Command::Check(args) => check::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Scorer(ScorerCommand::Run(args)) => scorer::run::run(args),
        Command::Scorer(ScorerCommand::Bench(args)) => scorer::bench::run(args),
        Command::Scorer(ScorerCommand::Inspect(args)) => scorer::inspect::run(args),
        Command::Components(args) => components::run(args),
    };
    match done {
        Ok(code) => code,
        Err(error) => fail::report(&error),
    }
}
