//! Breaker components that fail in a replay or a check: nothing is reported that didn't happen, and the failure is told.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::path::Path;

use support::{root, run, run_with, write};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The library's hostile breaker: it does as its callers' latencies say, in nanoseconds. Here it knows its status, all zero,
/// and trips at 671.
fn hostile_breaker(snapshot: &str) -> Vec<u8> {
    let name = |function: &str| format!("(func (export \"softfuse:breaker/breaker@0.1.0#{function}\")");
    let wat = std::fs::read_to_string(root().join("host/runtime/tests/common/hostile_breaker.wat")).unwrap();
    let replace = |wat: &str, old: &str, new: &str| {
        assert_eq!(wat.matches(old).count(), 1, "{old}");
        wat.replace(old, new)
    };
    let status = format!("{} (param i32 i64) (result i32)", name("status"));
    let wat = replace(
        &wat,
        &format!("{status} (i32.const 2048))"),
        &format!("{status} (i32.store8 (i32.const 8192) (i32.const 1)) (i32.const 8192))"),
    );
    // A settlement at 3200, with an event: it opens, and the host is the reason.
    let trips = "(if (i64.eq (local.get $latency) (i64.const 671)) (then
      (i32.store8 (i32.const 3216) (i32.const 1)) (i32.store8 (i32.const 3233) (i32.const 1))
      (i32.store8 (i32.const 3240) (i32.const 3)) (i64.store (i32.const 3256) (i64.const 1))
      (return (i32.const 3200))))";
    let trap = "(if (i64.eq (local.get $latency) (i64.const 666)) (then unreachable))";
    let wat = replace(&wat, trap, &format!("{trap}\n{trips}"));
    let begin = format!("{} (param i32 i64) (result i32)", name("snapshot"));
    let wat = replace(&wat, &begin, &format!("{begin} {snapshot}"));
    component(&wat)
}

fn component(wat: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root().join("wit/breaker")).unwrap();
    let world = resolve.select_world(&[package], Some("circuit-breaker")).unwrap();
    let mut module = wat::parse_str(wat).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// A trace whose calls take so many nanoseconds.
fn trace(latencies: &[u32]) -> String {
    let line = |(index, nanos): (usize, &u32)| {
        format!("{{\"at_ms\":{},\"latency_ms\":{:.6},\"outcome\":\"success\"}}\n", index + 1, f64::from(*nanos) / 1e6)
    };
    latencies.iter().enumerate().map(line).collect()
}

fn files(dir: &Path, breaker: &[u8]) -> (String, String) {
    (write(dir, "breaker.wasm", breaker), write(dir, "p.toml", ""))
}

#[test]
fn a_replay_ends_where_its_breaker_fails() {
    let dir = tempfile::tempdir().unwrap();
    for (snapshot, latencies, said) in [
        // The record is lost.
        ("", &[1, 666, 1][..], "<stdin>: line 2: under the policy "),
        // The record counts, and the snapshot after its trip fails: no call is refused by that, and no record lost.
        ("unreachable", &[1, 1, 671, 1], "<stdin>: line 3: under the policy "),
        // The same with the last call of all, which ends after all have begun.
        ("unreachable", &[1, 671], "<stdin>: line 2: under the policy "),
    ] {
        let (breaker, policy) = files(dir.path(), &hostile_breaker(snapshot));
        let args = ["replay", "-", "-p", &policy, "--breaker", &breaker, "--json"];
        run_with(&args, trace(&[1, 1]).as_bytes()).code(0);
        let ran = run_with(&args, trace(latencies).as_bytes()).code(1);
        assert!(ran.err.contains(said), "{}", ran.err);
        assert!(ran.err.contains("p.toml: the breaker component trapped: "), "{}", ran.err);
        assert_eq!(ran.out, "", "no report of what didn't happen");
    }
    // One whose snapshots are sound trips and goes on.
    let (breaker, policy) = files(dir.path(), &hostile_breaker(""));
    let args = ["replay", "-", "-p", &policy, "--breaker", &breaker, "--json"];
    let report = run_with(&args, trace(&[1, 671, 1]).as_bytes()).code(0).json();
    assert_eq!(report["policies"][0]["trip_count"], 1);
}

#[test]
fn what_is_no_breaker_is_told_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let policy = write(dir.path(), "p.toml", "[trip_on]\nconsecutive_failures = 3\n");
    let module = write(dir.path(), "module.wasm", wat::parse_str("(module)").unwrap());
    for (file, said) in [(&policy, "it is not WebAssembly\n"), (&module, "it is a core module; ")] {
        for ran in [
            run(&["check", &policy, "--breaker", file]).code(1),
            run(&["replay", "examples/traces/smollm2.jsonl", "-p", &policy, "--breaker", file]).code(1),
        ] {
            assert!(ran.err.contains(&format!("{file}: not a component that can be loaded: {said}")), "{}", ran.err);
            assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        }
    }
    // A component that makes no sense of a policy is the problem that was found, not the policy's file.
    let nonsense = "(func (export \"softfuse:breaker/breaker@0.1.0#load-policy\") (param i32 i32) (result i32)";
    let wat = std::fs::read_to_string(root().join("host/runtime/tests/common/hostile_breaker.wat")).unwrap();
    assert!(wat.contains(nonsense));
    let breaker = write(dir.path(), "b.wasm", component(&wat.replace(nonsense, &format!("{nonsense} unreachable"))));
    for command in [&["check", &policy][..], &["replay", "examples/traces/smollm2.jsonl", "-p", &policy]] {
        let ran = run(&[command, &["--breaker", &breaker]].concat()).code(1);
        assert!(ran.err.contains("the breaker component trapped"), "{}", ran.err);
    }
}
