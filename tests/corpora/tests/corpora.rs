//! The fuzzers' corpora as ordinary tests: every input that ever mattered is tried again, and the corpora together reach
//! what they are there for.

use softfuse_core::RestoreError;
use softfuse_corpora::{history, policy, snapshot, trace};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The least number of inputs of a corpus: one that was lost, or moved, must not pass for one that holds.
const INPUTS_MIN: usize = 24;

/// Runs a target over its corpus; an input that fails is named.
fn over<R>(target: &str, run: impl Fn(&[u8]) -> R) -> Vec<R> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(paths.len() >= INPUTS_MIN, "{} holds {} inputs, {INPUTS_MIN} at least", folder.display(), paths.len());
    let one = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        catch_unwind(AssertUnwindSafe(|| run(&bytes))).map_err(|_| path.display().to_string())
    };
    let (reached, failed): (Vec<_>, Vec<_>) = paths.iter().map(one).partition(Result::is_ok);
    let failed: Vec<String> = failed.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "the target `{target}` fails on {failed:#?}");
    reached.into_iter().filter_map(Result::ok).collect()
}

#[test]
fn policies_are_read_or_refused_with_problems() {
    let reached = over("policy", policy::run);
    let good = reached.iter().filter(|reached| **reached == policy::Reached::Policy).count();
    let bad = reached.iter().filter(|reached| matches!(reached, policy::Reached::Problems(_))).count();
    let many = reached.iter().filter(|reached| matches!(reached, policy::Reached::Problems(2..))).count();
    assert!(good >= 12 && bad >= 12 && many >= 2, "{good} good ones, {bad} bad ones, {many} with several problems");
}

#[test]
fn snapshots_are_restored_or_refused() {
    let reached = over("snapshot", snapshot::run);
    let count = |is: fn(&snapshot::Reached) -> bool| reached.iter().filter(|reached| is(reached)).count();
    use snapshot::Reached::{Refused, Restored};
    let restored = count(|reached| matches!(reached, Restored(_)));
    let driven = count(|reached| matches!(reached, Restored(tally) if tally.admitted > 0 && tally.trips > 0));
    let corrupt = count(|reached| matches!(reached, Refused(RestoreError::Corrupt(_))));
    let foreign = count(|reached| matches!(reached, Refused(RestoreError::PolicyDiffers(_))));
    let nothing = count(|reached| matches!(reached, Refused(RestoreError::NotASnapshot)));
    let found = format!(
        "{restored} restored, {driven} driven to a trip, {corrupt} corrupt, {foreign} of another policy, {nothing} none"
    );
    assert!(restored >= 12 && driven >= 1 && corrupt >= 4 && foreign >= 1 && nothing >= 1, "{found}");
}

#[test]
fn histories_keep_the_promises() {
    let tallies = over("history", history::run);
    let sum = |of: fn(&softfuse_corpora::drive::Tally) -> u32| tallies.iter().map(of).sum::<u32>();
    let counts = [
        ("admitted", sum(|t| t.admitted)),
        ("refused", sum(|t| t.refused)),
        ("trips", sum(|t| t.trips)),
        ("recoveries", sum(|t| t.recoveries)),
        ("withheld", sum(|t| t.withheld)),
        ("probed", sum(|t| t.probed)),
        ("stale", sum(|t| t.stale)),
        ("errors", sum(|t| t.errors)),
        ("restored", sum(|t| t.restored)),
        ("leases", sum(|t| t.leases)),
    ];
    assert!(counts.iter().all(|(_, count)| *count > 0), "the corpus doesn't reach everything: {counts:?}");
}

#[test]
fn traces_are_read_or_refused_line_by_line() {
    let reached = over("trace", trace::run);
    let count = |is: fn(&trace::Reached) -> bool| reached.iter().filter(|reached| is(reached)).count();
    let counts = [
        ("bad mappings", count(|r| r.bad_mapping)),
        ("without a bad line", count(|r| r.calls > 0 && r.bad_lines == 0)),
        ("with good lines and bad ones", count(|r| r.calls > 0 && r.bad_lines > 0)),
        ("with late scores or verdicts", count(|r| r.rich > 0)),
        ("with dates", count(|r| r.dated)),
        ("compressed, with calls", count(|r| r.compressed && r.calls > 0)),
        ("broken off", count(|r| r.broken)),
        ("with more disorder than is put in order", count(|r| r.disorder > 0)),
    ];
    assert!(counts.iter().all(|(_, count)| *count > 0), "the corpus doesn't reach everything: {counts:?}");
}
