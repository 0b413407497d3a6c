//! Scorers of one's own, as far as no other language's compiler is needed: components of core modules, their cases, new projects.
//! `tests/hosts` builds real ones.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::fs;

use support::{run, write};

/// A scorer that scores 0.2 for each of five promises that is kept: `_initialize` was called, clocks count, randomness is always the same, there is no
/// environment, and files can't be written.
const PROMISES: &str = r#"
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (global $ready (mut i32) (i32.const 0))
  (global $free (mut i32) (i32.const 8192))
  (global $kept (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.const 1)))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16)))))
  (func (export "softfuse:scorer/scorer@0.1.0#configure") (param i32 i32) (result i32) (i32.const 1024))
  (func $keep (param i32) (global.set $kept (i32.add (global.get $kept) (local.get 0))))
  (func (export "softfuse:scorer/scorer@0.1.0#score")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (if (i32.eqz (local.get 14)) (then (call $exit (i32.const 1))))
    (global.set $kept (i32.const 0))
    (call $keep (global.get $ready))
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 16)))
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 24)))
    (call $keep (i64.gt_u (i64.load (i32.const 24)) (i64.load (i32.const 16))))
    (drop (call $random (i32.const 32) (i32.const 8)))
    (call $keep (i64.eq (i64.load (i32.const 32)) (i64.const 0x5a5a5a5a5a5a5a5a)))
    (i32.store (i32.const 48) (i32.const 7))
    (drop (call $environ (i32.const 48) (i32.const 52)))
    (call $keep (i32.eqz (i32.load (i32.const 48))))
    (call $keep (i32.eq (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 8)))
    (f64.store (i32.const 2064) (f64.div (f64.convert_i32_s (global.get $kept)) (f64.const 5)))
    (i32.const 2048)))
"#;

/// Writes a module, and makes a component of it. What was said, and its path.
fn componentize(dir: &std::path::Path, wat: &str, code: i32) -> (String, String) {
    let module = write(dir, "module.core", wat::parse_str(wat).unwrap());
    let component = dir.join("dist/promises.wasm").to_str().unwrap().to_owned();
    let ran = run(&["scorer", "componentize", &module, "--output", &component]).code(code);
    (ran.out + &ran.err, component)
}

#[test]
fn a_core_module_becomes_a_component_that_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    let (said, component) = componentize(dir.path(), PROMISES, 0);
    assert!(said.contains("imports: none, 5 imports of WASI answered inside"), "{said}");
    let inspected = run(&["scorer", "inspect", &component]).code(0);
    assert!(inspected.out.contains("imports   none"), "{}", inspected.out);
    let cases = "[[case]]\nname = \"kept\"\nanswer = \"x\"\nscore = 1\n[[case]]\nname = \"it ends itself\"\nanswer = \"\"\nfails = \"trapped\"\n";
    write(dir.path(), "cases.toml", cases);
    let project = dir.path().to_str().unwrap();
    let passed = run(&["scorer", "test", project]).code(0);
    assert!(passed.out.ends_with("\n2 passed, 0 failed\n"), "{}", passed.out);
    // The cases lie in the folder above the component's, too.
    run(&["scorer", "test", &component, "--fresh"]).code(0);

    write(
        dir.path(),
        "cases.toml",
        format!("{cases}[[case]]\nname = \"more\"\nanswer = \"x\"\nscore = {{ at_least = 2 }}\n"),
    );
    let failed = run(&["scorer", "test", project]).code(1);
    assert!(failed.out.contains("more: expected a score of at least 2; came a score of 1"), "{}", failed.out);
    assert!(failed.out.ends_with("\n2 passed, 1 failed\n"), "{}", failed.out);
    let report = run(&["scorer", "test", project, "--json"]).code(1).json();
    assert_eq!(
        (&report["passed"], &report["failed"], &report["cases"][2]["passed"]),
        (&2.into(), &1.into(), &false.into())
    );
}

#[test]
fn what_is_no_scorer_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let said = |wat: &str| componentize(dir.path(), wat, 1).0;
    let foreign = PROMISES.replace("\"wasi_snapshot_preview1\" \"random_get\"", "\"env\" \"random_get\"");
    assert!(said(&foreign).contains("it imports `random_get` of `env`: a scorer gets nothing from outside"));
    assert!(said("(module)").contains("no scorer: nothing that it exports begins with `softfuse:scorer/scorer@`"));
    let other = PROMISES.replace("#configure\") (param i32 i32)", "#configure\") (param i32)");
    assert!(said(&other).contains("this is no scorer by its contract"));
    let twice = PROMISES.replace("(func $keep", "(func $begin) (start $begin) (func $keep");
    assert!(said(&twice).contains("a start function and exports `_initialize` as well"));
    let (_, component) = componentize(dir.path(), PROMISES, 0);
    let output = dir.path().join("again.wasm");
    let again = run(&["scorer", "componentize", &component, "-o", output.to_str().unwrap()]).code(1);
    assert!(again.err.contains("a component already"), "{}", again.err);
    let text = write(dir.path(), "text", b"Paris");
    let none = run(&["scorer", "componentize", &text, "-o", output.to_str().unwrap()]).code(1);
    assert!(none.err.contains("no WebAssembly"), "{}", none.err);
}

#[test]
fn nothing_to_test_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().to_str().unwrap();
    let unbuilt = run(&["scorer", "test", project]).code(2);
    assert!(unbuilt.err.contains("is the project built?"), "{}", unbuilt.err);
    componentize(dir.path(), PROMISES, 0);
    let caseless = run(&["scorer", "test", project]).code(2);
    assert!(caseless.err.contains("there is no cases.toml beside it"), "{}", caseless.err);
    let empty = write(dir.path(), "cases.toml", b"config = \"\"");
    let none = run(&["scorer", "test", project]).code(1);
    assert!(none.err.contains("no cases: each begins with [[case]]"), "{}", none.err);
    let builtin = run(&["scorer", "test", "text", "--cases", &empty, "--deadline-ms", "0"]).code(1);
    assert!(builtin.err.contains("no cases"), "{}", builtin.err);
}

#[test]
fn a_new_project_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("project");
    let place = folder.to_str().unwrap();
    let new = ["scorer", "new", "--lang", "c", "polite-answers", "--dir", place];
    let written = run(&new).code(0);
    assert!(written.out.contains("sh build.sh && softfuse scorer test"), "{}", written.out);
    fs::remove_file(folder.join("scorer.c")).unwrap();
    let again = run(&new).code(2);
    assert!(again.err.contains("is there already, and isn't empty; nothing was written"), "{}", again.err);
    assert!(!folder.join("scorer.c").exists());
    let bad = run(&["scorer", "new", "--lang", "c", "Polite"]).code(2);
    assert!(bad.err.contains("`Polite` is no name"), "{}", bad.err);
    let unknown = run(&["scorer", "new", "--lang", "cobol", "polite"]).code(2);
    assert!(unknown.err.contains("possible values: rust, js, python, c, go"), "{}", unknown.err);
}
