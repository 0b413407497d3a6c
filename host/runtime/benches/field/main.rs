//! The library beside its peers, in one run: `cargo bench -p softfuse --bench field`.
//!
//! Each figure is criterion's median of one guarded call, in nanoseconds. All are measured in rounds, one after the other, since
//! machines have faster and slower minutes: a ratio is the median of those of each round. One table with the goals comes at the
//! end, as JSON after `-- --json`; `-- --quick` measures for a tenth of the time; `--rounds=1` does it once, of 5 times; other
//! words pick rows by name.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may fail loudly")]

mod calls;
mod keys;
mod scorers;
mod start;
mod table;

use std::time::Duration;

use criterion::Criterion;
use table::Medians;

/// How to measure, and what.
pub(crate) struct Run {
    pub(crate) criterion: Criterion,
    wanted: Vec<String>,
}

impl Run {
    /// Whether a group was asked for by its whole name.
    pub(crate) fn names(&self, group: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted == group)
    }

    /// Whether a group was asked for.
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| group.contains(wanted.as_str()))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test` runs benches too, with this: then one short look is enough.
    let quick = flag("--quick") || flag("--test");
    let unit = if quick { 100 } else { 1_000 };
    // What an earlier run has measured isn't this one's.
    let _ = std::fs::remove_dir_all(table::folder());
    let criterion = Criterion::default()
        .output_directory(&table::folder())
        .without_plots()
        .sample_size(if quick { 10 } else { 50 })
        .warm_up_time(Duration::from_millis(unit / 2))
        .measurement_time(Duration::from_millis(2 * unit));
    let wanted = arguments.iter().filter(|argument| !argument.starts_with("--")).cloned().collect();
    let mut run = Run { criterion, wanted };
    let given = arguments.iter().find_map(|argument| argument.strip_prefix("--rounds="));
    let rounds = match given.map(str::parse) {
        Some(Ok(rounds)) => rounds,
        Some(Err(error)) => panic!("`--rounds=` takes a number, {error}: {given:?}"),
        None if flag("--test") => 1,
        None => 5,
    };
    let mut medians = Medians::default();
    // Many keys take so long to set up that they are measured once.
    let memory = keys::measure(&mut run, quick);
    for _ in 0..rounds {
        calls::measure(&mut run);
        scorers::measure(&mut run);
        start::measure(&mut run);
        medians.end_round();
    }
    table::print(&medians, &memory, flag("--json"));
}
