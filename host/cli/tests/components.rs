//! `softfuse components` and `softfuse scorer`: what is written is what the library embeds, and scorers are run and told of.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use softfuse::Builtin;
use softfuse::components::{BREAKER, BREAKER_WIT, SCORER_WIT};
use support::{run, run_with, write};

const TRACE: &str = "examples/traces/smollm2.jsonl";

#[test]
fn components_are_written_and_never_over_others() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("a/b");
    let folder = into.to_str().unwrap();
    run(&["components", folder]).code(0);
    let read = |name: &str| std::fs::read(into.join(name)).unwrap();
    assert_eq!(read("breaker.wasm"), BREAKER);
    assert_eq!(read("wit/breaker/breaker.wit"), BREAKER_WIT.as_bytes());
    assert_eq!(read("wit/scorer/scorer.wit"), SCORER_WIT.as_bytes());
    for builtin in Builtin::ALL {
        assert_eq!(read(&format!("scorers/{}.wasm", builtin.name())), builtin.bytes());
    }
    let again = run(&["components", folder]).code(0);
    assert_eq!(again.out.matches("was there").count(), 6, "{}", again.out);

    std::fs::write(into.join("breaker.wasm"), "mine").unwrap();
    std::fs::remove_file(into.join("scorers/text.wasm")).unwrap();
    let refused = run(&["components", folder]).code(2);
    assert!(refused.err.contains("breaker.wasm differs") && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(read("breaker.wasm"), b"mine");
    assert!(!into.join("scorers/text.wasm").exists(), "all or nothing");
    run(&["components", folder, "--force"]).code(0);
    assert_eq!(read("breaker.wasm"), BREAKER);
    assert_eq!(read("scorers/text.wasm"), Builtin::Text.bytes());
    let file = write(dir.path(), "file", "x");
    run(&["components", &file]).code(2);
}

#[test]
fn written_components_are_loaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    run(&["components", folder]).code(0);
    let breaker = format!("{folder}/breaker.wasm");
    run(&["check", "examples/policies/llm.toml", "--breaker", &breaker]).code(0);
    let args = |scorer: &str| ["scorer", "run", scorer, TRACE, "--json"].map(str::to_owned);
    let scored = |scorer: &str| {
        let args = args(scorer);
        run(&args.each_ref().map(String::as_str)).code(0).out
    };
    assert_eq!(scored("logprobs"), scored(&format!("{folder}/scorers/logprobs.wasm")));
}

#[test]
fn exchanges_and_traces_are_scored() {
    let ran = run(&["scorer", "run", "logprobs", TRACE]).code(0);
    assert_eq!(ran.out.lines().count(), 361, "a line each, and the mean");
    assert!(ran.out.contains("logprobs: 360 scored, mean 0."), "{}", ran.out.lines().last().unwrap());

    let dir = tempfile::tempdir().unwrap();
    // Laid out over several lines, and the bare answer of a service.
    let pretty = "{\n  \"operation\": \"chat\",\n  \"response\": \"I'm sorry, but I can't help with that.\"\n}\n";
    let exchange = write(dir.path(), "exchange.json", pretty);
    let refusal: f64 = run(&["scorer", "run", "text", &exchange, "--json"]).code(0).json()["score"].as_f64().unwrap();
    assert!(refusal < 0.5, "{refusal}");
    let config = write(dir.path(), "text.toml", "[penalty]\nrefusal = 0.0\n");
    let allowed = run(&["scorer", "run", "text", &exchange, "--config", &config, "--json"]).code(0).json();
    assert_eq!(allowed["score"], 1.0);
    let behind = run(&["scorer", "run", &format!("text:{config}"), &exchange, "--json"]).code(0).json();
    assert_eq!(behind["score"], 1.0);
    let bare = br#"{"choices":[{"index":0,"message":{"role":"assistant","content":""}}]}"#;
    assert_eq!(run_with(&["scorer", "run", "text", "-", "--json"], bare).code(0).json()["score"], 0.0);
    let abstained = run(&["scorer", "run", "logprobs", &exchange, "--json"]).code(0).json();
    assert!(abstained["abstained"].is_string(), "{abstained}");
}

#[test]
fn wrong_exchanges_and_scorers_are_named() {
    let ran = run_with(&["scorer", "run", "text", "-"], b"{\"request\":{}}").code(1);
    assert!(ran.err.contains("<stdin>:1: response: the key is missing"), "{}", ran.err);
    let ran = run_with(&["scorer", "run", "text", "-"], b"{\"response\":\"a\"}\n\n  nope\n").code(1);
    assert!(ran.err.contains("error: <stdin>:3:4: this is no JSON object: "), "{}", ran.err);
    let ran = run_with(&["scorer", "run", "text", "-"], b"{\n\"response\": x\n}").code(1);
    assert!(ran.err.contains("error: <stdin>:2:13: this is no JSON object: "), "{}", ran.err);
    run_with(&["scorer", "run", "text", "-"], b"").code(1);
    run_with(&["scorer", "run", "text", "-"], b"[1,2]").code(1);
    run(&["scorer", "run", "text", "no/such.json"]).code(2);
    run(&["scorer", "run", "no/such.wasm", TRACE]).code(2);
    for (args, offered) in [
        (["run", "auto"], "`auto` is no scorer: text, logprobs, embedding or FILE.wasm is wanted"),
        (["run", "nope"], "`nope` is no scorer: text, logprobs, embedding or FILE.wasm is wanted"),
        (["bench", "none"], "`none` is no scorer: text, logprobs, embedding or FILE.wasm is wanted"),
        (["inspect", "good.toml"], "`good.toml` is no component: text, logprobs, embedding or FILE.wasm is wanted"),
        (["inspect", "text:c.toml"], "`text:c.toml`: a component is looked at without a configuration"),
    ] {
        let trace: &[&str] = if args[0] == "inspect" { &[] } else { &[TRACE] };
        let ran = run(&[&["scorer"], &args[..], trace].concat()).code(2);
        assert!(ran.err.contains(offered), "{}", ran.err);
    }
    let dir = tempfile::tempdir().unwrap();
    let none = write(dir.path(), "none.wasm", "nothing");
    let ran = run(&["scorer", "run", &none, TRACE]).code(1);
    assert!(ran.err.contains("not a component that can be loaded"), "{}", ran.err);
    let config = write(dir.path(), "c.toml", "nonsense = 1\n");
    let ran = run(&["scorer", "run", "text", TRACE, "--config", &config]).code(1);
    assert!(ran.err.contains("nonsense"), "{}", ran.err);
}

/// Many of a trace's calls failed, and have nothing to score.
#[test]
fn calls_without_a_response_are_passed_over_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let failed = "{\"at_ms\":2,\"latency_ms\":1,\"outcome\":\"timeout\"}\n";
    let answered = "{\"at_ms\":1,\"latency_ms\":1,\"outcome\":\"success\",\"response\":\"Paris.\"}\n";
    let trace = write(dir.path(), "t.jsonl", [failed, answered, failed, answered].concat());
    let ran = run(&["scorer", "run", "text", &trace]).code(0);
    let lines: Vec<&str> = ran.out.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["2", "4", "text"], "{}", ran.out);
    assert_eq!(ran.err, "warning: 2 calls have no response, and so no score\n");
    let ran = run(&["scorer", "run", "text", &trace, "--json"]).code(0);
    assert_eq!((ran.out.lines().count(), ran.err.lines().count()), (2, 1));
    let ran = run(&["scorer", "bench", "text", &trace, "-n", "2", "--json"]).code(0);
    assert_eq!(ran.json()["exchanges"], 2);
    assert_eq!(ran.err, "warning: 2 calls have no response, and so no score\n");
    let none = write(dir.path(), "none.jsonl", failed.repeat(3));
    for command in ["run", "bench"] {
        let ran = run(&["scorer", command, "text", &none]).code(1);
        assert!(
            ran.err.contains("none.jsonl: there is no exchange in it, but 3 calls without a response"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn inspection_says_what_would_be_loaded() {
    let report = run(&["scorer", "inspect", "text", "--json"]).code(0).json();
    assert_eq!(report["kind"], "component");
    assert_eq!(report["imports"], serde_json::json!([]));
    let exports: Vec<&str> = report["exports"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(exports, ["softfuse:scorer/scorer@0.1.0", "softfuse:scorer/streaming@0.1.0"]);
    assert_eq!(report["verdict"]["loads_as"], "streaming scorer");
    assert_eq!(report["bytes"], Builtin::Text.bytes().len());

    let dir = tempfile::tempdir().unwrap();
    let wat = "(component (import \"evil:net/sockets@1.0.0\" (instance (export \"connect\" (func)))))";
    let evil = write(dir.path(), "evil.wasm", wat::parse_str(wat).unwrap());
    let report = run(&["scorer", "inspect", &evil, "--json"]).code(1).json();
    assert_eq!(report["imports"][0], "evil:net/sockets@1.0.0");
    assert_eq!(report["verdict"]["granted"], false);
    assert!(report["verdict"]["note"].as_str().unwrap().contains("imports what it isn't granted"));

    let module = write(dir.path(), "module.wasm", wat::parse_str("(module)").unwrap());
    let ran = run(&["scorer", "inspect", &module]).code(1);
    assert!(ran.out.contains("core module") && ran.out.contains("would not be loaded"), "{}", ran.out);
    let breaker = write(dir.path(), "breaker.wasm", BREAKER);
    let ran = run(&["scorer", "inspect", &breaker]).code(0);
    assert!(ran.out.contains("as a breaker"), "{}", ran.out);
    run(&["scorer", "inspect", "no/such.wasm"]).code(2);
}

/// That it runs and says all that it should; how fast is no matter of a test.
#[test]
fn benches_say_what_they_measured() {
    let report = run(&["scorer", "bench", "text", TRACE, "-n", "20", "--json"]).code(0).json();
    assert_eq!((&report["calls"], &report["exchanges"]), (&20.into(), &360.into()));
    for figure in ["reused", "fresh"] {
        assert!(report[figure]["median_us"].as_f64().unwrap() > 0.0);
    }
    run(&["scorer", "bench", "text", TRACE, "-n", "0"]).code(2);
}
