//! `softfuse check`: the examples are right, every kind of bad policy is told well, and the exit codes say which it was.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use support::{root, run, run_with, write};

fn policies(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut paths: Vec<String> =
        names.filter(|name| name.ends_with(".toml")).map(|name| format!("{folder}/{name}")).collect();
    paths.sort();
    paths
}

fn check(args: &[&str], paths: &[String]) -> support::Ran {
    let all: Vec<&str> = ["check"].iter().chain(args).copied().chain(paths.iter().map(String::as_str)).collect();
    run(&all)
}

#[test]
fn the_example_policies_are_right() {
    let paths = policies("examples/policies");
    assert!(paths.len() >= 4, "{paths:?}");
    let ran = check(&[], &paths).code(0);
    for path in &paths {
        assert!(ran.out.contains(&format!("{path}: ok: trips on ")), "{path}: {}", ran.out);
    }
}

/// The whole output, as it is shown. `SOFTFUSE_BLESS=1 cargo test -p softfuse-cli` writes it anew, for a look at the changes.
#[test]
fn bad_policies_are_told_as_recorded() {
    let ran = check(&[], &policies("host/cli/tests/bad")).code(1);
    let path = root().join("host/cli/tests/bad/expected.txt");
    if std::env::var_os("SOFTFUSE_BLESS").is_some() {
        std::fs::write(&path, &ran.out).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(ran.out, expected, "SOFTFUSE_BLESS=1 records the new output");
}

#[test]
fn problems_are_data_for_programs() {
    let report = check(&["--json"], &["host/cli/tests/bad/condition.toml".to_owned()]).code(1).json();
    let problems = report[0]["problems"].as_array().unwrap();
    assert_eq!(report[0]["ok"], false);
    let problem = problems.iter().find(|problem| problem["nearest"] == "quality_below").unwrap();
    assert_eq!((&problem["line"], &problem["column"]), (&6.into(), &7.into()));
    assert_eq!(problem["key"], "trip_on.any_of[0].quality_belw");
    assert!(problems.len() >= 6, "all at once: {problems:?}");
}

#[test]
fn summaries_say_what_the_component_does() {
    let dir = tempfile::tempdir().unwrap();
    let defaults = write(dir.path(), "defaults.toml", "[trip_on]\nquality_below = 0.7\n");
    let ran = run(&["check", &defaults]).code(0);
    assert!(
        ran.out.ends_with(
            "ok: trips on quality_below 0.7 over 20; opens for 60 s; closes after 2 passed probes, 2 at once\n"
        ),
        "{}",
        ran.out
    );
    let all = write(
        dir.path(),
        "all.toml",
        "half_open_after = 5\nrecovery_threshold = 4\nhalf_open_max_calls = 3\nrequire_quality_signal = true\n\
         [backoff]\nmultiplier = 3\n[trip_on]\nany_of = [{ all_of = [{ quality_below = 0.5 }, \
         { latency_above = { threshold_ms = 900, window = 3 } }] }, { host_condition = \"drift\" }, \
         { consecutive_failures = 7 }]\n",
    );
    let report = run(&["check", "--json", &all]).code(0).json();
    let summary = &report[0]["summary"];
    assert_eq!(
        summary["trips_on"],
        "any_of(all_of(quality_below 0.5 over 20, latency_above 900 ms over 3), host_condition drift, \
         consecutive_failures 7)"
    );
    assert_eq!(summary["recovery"]["open_ms"], 5_000.0);
    assert_eq!(summary["recovery"]["reopen_ms"], 15_000.0);
    assert_eq!((&summary["recovery"]["probes"], &summary["recovery"]["passes"]), (&3.into(), &4.into()));
    assert_eq!(summary["host_conditions"][0], "drift");
}

#[test]
fn a_policy_may_come_by_standard_input() {
    let ran = run_with(&["check", "-"], b"[trip_on]\nconsecutive_failures = 0\n").code(1);
    assert!(ran.out.contains("<stdin>:2:24"), "{}", ran.out);
    run_with(&["check", "-"], b"[trip_on]\nconsecutive_failures = 1\n").code(0);
    let ran = run_with(&["check", "-"], b"a = \xff\n").code(1);
    assert!(ran.out.contains("no UTF-8 from byte 4 on"), "{}", ran.out);
    run_with(&["check", "-"], &vec![b'#'; 2 << 20]).code(1);
}

#[test]
fn exit_codes_tell_problems_from_impossibilities() {
    let good = "examples/policies/llm.toml";
    run(&["check", good]).code(0);
    run(&["check", good, "host/cli/tests/bad/empty.toml"]).code(1);
    let ran = run(&["check", "no/such.toml", good]).code(2);
    assert!(ran.err.contains("can't read the policy no/such.toml"), "{}", ran.err);
    assert!(ran.out.contains("llm.toml: ok"), "the others are checked all the same");
    run(&["check"]).code(2);
    run(&["check", good, "--no-such-flag"]).code(2);
    run(&["check", good, "--breaker", "no/such.wasm"]).code(2);
    run(&["check", good, "--breaker", "Cargo.toml"]).code(1);
    for help in [&["--help"][..], &["check", "--help"], &["replay", "--help"], &["scorer", "run", "--help"]] {
        let ran = run(help).code(0);
        assert!(ran.out.contains("Exit codes:"), "{help:?}");
    }
}

#[test]
fn colours_are_for_those_who_want_them() {
    let bad = "host/cli/tests/bad/empty.toml";
    assert!(!run(&["check", bad]).out.contains('\x1b'));
    assert!(run(&["check", bad, "--color", "always"]).out.contains('\x1b'));
    assert!(!run(&["check", bad, "--color", "never"]).out.contains('\x1b'));
}

/// A reader that has seen enough is no failure.
#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    use std::process::Stdio;
    let mut child = support::command(&["scorer", "run", "text", "examples/traces/smollm2.jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
