//! `softfuse replay`: the recorded trace, other people's logs, bad traces, long ones, and the exit codes.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::io::Write;

use support::{command, root, run, run_with, write};

const TRACE: &str = "examples/traces/smollm2.jsonl";
const POLICY: &str = "examples/policies/llm.toml";

/// Trips on the third failure in a row, for 10 s.
const THREE: &str = "half_open_after = \"10s\"\nrecovery_threshold = 1\n[trip_on]\nconsecutive_failures = 3\n";

/// The lines of the recorded trace's degraded phase, from the trace itself.
fn degraded_lines() -> (u64, u64) {
    let text = std::fs::read_to_string(root().join(TRACE)).unwrap();
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains("\"phase\":\"degraded\""));
    let numbers: Vec<u64> = lines.map(|(index, _)| index as u64 + 1).collect();
    (*numbers.first().unwrap(), *numbers.last().unwrap())
}

#[test]
fn the_recorded_trace_trips_while_degraded_and_closes_after() {
    let report = run(&["replay", TRACE, "--policy", POLICY, "--json"]).code(0).json();
    let (first, last) = degraded_lines();
    let policy = &report["policies"][0];
    let trips = policy["trips"].as_array().unwrap();
    assert!(!trips.is_empty());
    for trip in trips {
        let line = trip["line"].as_u64().unwrap();
        assert!((first..=last).contains(&line), "line {line} isn't in {first}..={last}: {trip}");
    }
    assert!(trips[0]["causes"][0]["path"].as_str().unwrap().ends_with("quality_below"));
    assert_eq!(policy["trip_count"], 1, "it doesn't close while the answers are bad");
    assert_eq!(policy["recovered_count"], 1);
    assert_eq!(policy["state"], "closed");
    let closed_at = trips.last().unwrap()["closed_at_ms"].as_f64().unwrap();
    let recovered = std::fs::read_to_string(root().join(TRACE)).unwrap();
    let recovered: serde_json::Value = serde_json::from_str(recovered.lines().nth(last as usize).unwrap()).unwrap();
    assert!(closed_at > recovered["at_ms"].as_f64().unwrap());
    assert_eq!(report["scoring"]["scored"], 360);
    assert!(policy["refused"]["mean_score"].as_f64() < policy["admitted"]["mean_score"].as_f64());
}

#[test]
fn the_report_is_a_table_for_people() {
    let ran = run(&["replay", TRACE, "--policy", POLICY]).code(0);
    assert!(ran.out.contains("the mean quality of 20 scores is"), "{}", ran.out);
    assert!(ran.out.contains("closed at"), "{}", ran.out);
    assert!(ran.err.is_empty(), "no progress bar where there is no terminal: {}", ran.err);
    assert!(!ran.out.contains('\x1b'));
    let colored = run(&["replay", TRACE, "--policy", POLICY, "--color", "always"]).code(0);
    assert!(colored.out.contains('\x1b'));
}

#[test]
fn a_replay_is_the_same_every_time_and_from_every_source() {
    let plain = run(&["replay", TRACE, "--policy", "examples/policies/chat.toml", "--json"]).code(0).json();
    let text = std::fs::read(root().join(TRACE)).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Two members, as appended logs have.
    gzip.write_all(&text[..text.len() / 2]).unwrap();
    let mut first = gzip.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text[text.len() / 2..]).unwrap();
    first.extend(gzip.finish().unwrap());
    // Before each frame one to be skipped, as pzstd writes them.
    let frame = |part| {
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
        [&skipped[..], &ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest)].concat()
    };
    let zstd: Vec<u8> = text.chunks(700_000).flat_map(frame).collect();
    for input in [text, first, zstd] {
        let other =
            run_with(&["replay", "-", "--policy", "examples/policies/chat.toml", "--json"], &input).code(0).json();
        assert_eq!(plain["policies"], other["policies"]);
    }
}

#[test]
fn policies_are_compared_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let strict = write(dir.path(), "strict.toml", "half_open_after = 10\n[trip_on]\nquality_below = 0.7\n");
    let ran = run(&["replay", TRACE, "-p", POLICY, "-p", &strict]).code(0);
    let table = ran.out.split("side by side").nth(1).unwrap();
    assert!(table.contains(POLICY) && table.contains("strict.toml"), "{table}");
    let report = run(&["replay", TRACE, "-p", POLICY, "-p", &strict, "--json"]).code(0).json();
    let refused = |index: usize| report["policies"][index]["refused"]["calls"].as_u64().unwrap();
    assert!(refused(0) < refused(1));
}

#[test]
fn litellm_logs_are_read_by_their_preset() {
    let dir = tempfile::tempdir().unwrap();
    let policy = write(dir.path(), "p.toml", THREE);
    let mut log = String::new();
    for index in 0..40 {
        let start = 1_700_000_000.0 + f64::from(index) * 2.0;
        let failed = (10..20).contains(&index);
        let error = if failed {
            r#"{"error_code":"429","error_class":"RateLimitError","llm_provider":"openai"}"#
        } else {
            r#"{"error_code":"","error_class":""}"#
        };
        log.push_str(&format!(
            "{{\"id\":\"c{index}\",\"call_type\":\"acompletion\",\"status\":\"{}\",\"startTime\":{start},\"endTime\":{},\
             \"response_cost\":0.01,\"model\":\"gpt-4o\",\"error_information\":{error},\"response\":\"Paris.\"}}\n",
            if failed { "failure" } else { "success" },
            start + 0.5,
        ));
    }
    let report = run_with(&["replay", "-", "--map", "litellm", "-p", &policy, "--json"], log.as_bytes()).code(0);
    let warned = "no line has `model_parameters`, which `request` is mapped to";
    assert!(report.err.contains(warned) && report.err.contains("`response_time`"), "{}", report.err);
    let report = report.json();
    let policy = &report["policies"][0];
    assert_eq!(policy["trips"][0]["line"], 13);
    assert_eq!(policy["trips"][0]["at"], "2023-11-14T22:13:44.500Z");
    assert_eq!(policy["refused"]["outcomes"]["rate-limited"], 6);
    assert_eq!(policy["recovered_count"], 1);
    assert_eq!(policy["state"], "closed");
}

#[test]
fn calls_overlap_and_end_in_their_own_order() {
    let dir = tempfile::tempdir().unwrap();
    let policy = write(dir.path(), "p.toml", THREE);
    // Three slow calls fail at 100 ms; a fast success in between ends at 50 ms, before them, and so breaks no streak. A call
    // that begins at the very instant of the trip is refused.
    let trace = r#"{"at_ms":0,"latency_ms":100,"outcome":"error"}
{"at_ms":10,"latency_ms":90,"outcome":"timeout"}
{"at_ms":20,"latency_ms":30,"outcome":"success"}
{"at_ms":30,"latency_ms":70,"outcome":"overloaded"}
{"at_ms":99,"latency_ms":10,"outcome":"success"}
{"at_ms":100,"latency_ms":10,"outcome":"success"}
"#;
    let report = run_with(&["replay", "-", "-p", &policy, "--json"], trace.as_bytes()).code(0).json();
    let policy = &report["policies"][0];
    assert_eq!(policy["trips"][0]["at_ms"], 100.0);
    assert_eq!(policy["trips"][0]["line"], 4);
    assert_eq!(policy["refused"]["calls"], 1);
    assert_eq!(policy["refused"]["first"]["line"], 6);
    assert_eq!(policy["stale"], 1, "the call that ended after the trip");
}

#[test]
fn late_scores_verdicts_and_retry_after_count() {
    let dir = tempfile::tempdir().unwrap();
    let late = write(dir.path(), "late.toml", "[trip_on]\nquality_below = { threshold = 0.5, window = 2 }\n");
    let trace = r#"{"at_ms":0,"latency_ms":1,"outcome":"success","late_scores":[{"after_ms":100,"score":0.1}]}
{"at_ms":10,"latency_ms":1,"outcome":"success","score":0.2}
{"at_ms":200,"latency_ms":1,"outcome":"success"}
"#;
    let report = run_with(&["replay", "-", "-p", &late, "--json"], trace.as_bytes()).code(0).json();
    let trip = &report["policies"][0]["trips"][0];
    assert_eq!((trip["at_ms"].as_f64(), trip["line"].as_u64()), (Some(101.0), Some(1)), "{trip}");

    let own = write(dir.path(), "own.toml", "[trip_on]\nhost_condition = \"drift\"\n");
    let trace = r#"{"at_ms":0,"latency_ms":1,"outcome":"success","verdicts":{"drift":null}}
{"at_ms":5,"latency_ms":1,"outcome":"success","verdicts":{"drift":"it drifts by 3"}}
"#;
    let report = run_with(&["replay", "-", "-p", &own, "--json"], trace.as_bytes()).code(0).json();
    let trip = &report["policies"][0]["trips"][0];
    assert_eq!((trip["reason"].as_str(), trip["line"].as_u64()), (Some("it drifts by 3"), Some(2)));
    let ran =
        run_with(&["replay", "-", "-p", &own], b"{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\"}\n").code(1);
    assert!(ran.err.contains("line 1: the policy") && ran.err.contains("`drift`"), "{}", ran.err);

    let policy = write(dir.path(), "p.toml", THREE);
    let limited = "{\"at_ms\":1,\"latency_ms\":1,\"outcome\":\"rate-limited\",\"retry_after_ms\":60000}\n".repeat(3);
    let trace = format!("{limited}{{\"at_ms\":30000,\"latency_ms\":1,\"outcome\":\"success\"}}\n");
    let report = run_with(&["replay", "-", "-p", &policy, "--json"], trace.as_bytes()).code(0).json();
    assert_eq!(report["policies"][0]["refused"]["calls"], 1, "the service asked for a minute");
}

#[test]
fn bad_lines_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let policy = write(dir.path(), "p.toml", THREE);
    let good = "{\"at_ms\":1,\"latency_ms\":1,\"outcome\":\"success\"}\n";
    for (line, said) in [
        ("{\"at_ms\":2,\"latency_ms\":1}", ":2: outcome: the field is missing"),
        ("{\"at_ms\":2,", ":2:11: this is no JSON object"),
        (
            "{\"at_ms\":2,\"latency_ms\":-1,\"outcome\":\"success\"}",
            ":2: latency_ms: expected a number of milliseconds",
        ),
        ("{\"at_ms\":2,\"latency_ms\":1,\"outcome\":\"good\"}", ":2: outcome: expected one of success, error"),
        ("\"x\"", ":2:3: this is no JSON object"),
    ] {
        let trace = write(dir.path(), "t.jsonl", format!("{good}{line}\n{good}"));
        let ran = run(&["replay", &trace, "-p", &policy]).code(1);
        assert!(ran.err.contains(&format!("t.jsonl{said}")), "{line}: {}", ran.err);
        assert!(ran.out.is_empty());
        let ran = run(&["replay", &trace, "-p", &policy, "--skip-bad-lines", "--json"]).code(0);
        assert!(ran.err.contains("the line is skipped"), "{}", ran.err);
        assert_eq!((&ran.json()["trace"]["bad_lines"], &ran.json()["trace"]["calls"]), (&1.into(), &2.into()));
    }
    let ran = run_with(&["replay", "-", "-p", &policy], b"\n\n").code(1);
    assert!(ran.err.contains("there is no call in the trace"), "{}", ran.err);
}

#[test]
fn disorder_is_put_in_order_up_to_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let policy = write(dir.path(), "p.toml", THREE);
    let line = |at: u32| format!("{{\"at_ms\":{at},\"latency_ms\":1,\"outcome\":\"success\"}}\n");
    let shuffled: String = (0..10_240).map(|at| line(at ^ 1023)).collect();
    let sorted: String = (0..10_240).map(line).collect();
    let replay = |trace: &str| {
        let report = run_with(&["replay", "-", "-p", &policy, "--json"], trace.as_bytes()).code(0).json();
        report["policies"][0]["closed_ms"].clone()
    };
    assert_eq!(replay(&shuffled), replay(&sorted));
    let ran = run_with(&["replay", "-", "-p", &policy], format!("{sorted}{}", line(5)).as_bytes()).code(1);
    assert!(ran.err.contains("<stdin>:10241: at_ms: the call began 6.1 s before"), "{}", ran.err);
}

#[test]
fn exit_codes_tell_problems_from_impossibilities() {
    let dir = tempfile::tempdir().unwrap();
    let bad = write(dir.path(), "bad.toml", "[trip_on]\nquality_belw = 0.5\n");
    let ran = run(&["replay", TRACE, "-p", &bad]).code(1);
    assert!(ran.err.contains("did you mean `quality_below`?"), "{}", ran.err);
    run(&["replay", "no/such/trace.jsonl", "-p", POLICY]).code(2);
    run(&["replay", TRACE, "-p", "no/such/policy.toml"]).code(2);
    run(&["replay", TRACE]).code(2);
    run(&["replay", TRACE, "-p", POLICY, "--map", "lat=x"]).code(2);
    run(&["replay", TRACE, "-p", POLICY, "--scorer", "words"]).code(2);
    run(&["replay", TRACE, "-p", POLICY, "--plot", "no/such/folder/x.svg"]).code(2);
    let config = write(dir.path(), "c.toml", "nonsense = 3\n");
    let ran = run(&["replay", TRACE, "-p", POLICY, "--scorer", &format!("text:{config}")]).code(1);
    assert!(ran.err.contains("nonsense"), "{}", ran.err);
}

#[test]
fn scorers_are_chosen_and_combined() {
    let dir = tempfile::tempdir().unwrap();
    let policy = write(dir.path(), "q.toml", "[trip_on]\nquality_below = { threshold = 0.4, window = 2 }\n");
    let trace: String = (0..4)
        .map(|at| format!("{{\"at_ms\":{at},\"latency_ms\":0.1,\"outcome\":\"success\",\"response\":\"\"}}\n"))
        .collect();
    let trips = |args: &[&str]| {
        let args = [&["replay", "-", "-p", &policy, "--json"], args].concat();
        let report = run_with(&args, trace.as_bytes()).code(0).json();
        report["policies"][0]["trip_count"].as_u64().unwrap()
    };
    assert_eq!(trips(&[]), 1, "an empty answer is worthless to the text scorer, which reads everything");
    assert_eq!(trips(&["--scorer", "text"]), 1);
    assert_eq!(trips(&["--scorer", "none"]), 0);
    // Log-probabilities there are none: that scorer abstains, and the other one's score stands.
    assert_eq!(trips(&["--scorer", "logprobs", "--scorer", "text", "--scorer-combine", "mean"]), 1);
    let ran = run_with(&["replay", "-", "-p", &policy, "--scorer", "auto", "--scorer", "text"], b"").code(2);
    assert!(ran.err.contains("can't stand beside"), "{}", ran.err);
    // The same where no policy looks at scores, and whoever names a scorer there is told.
    let other = write(dir.path(), "p.toml", THREE);
    let ran = run_with(&["replay", "-", "-p", &other, "--scorer", "text", "--scorer", "auto"], b"").code(2);
    assert!(ran.err.contains("can't stand beside"), "{}", ran.err);
    for (scorer, said) in [(&["--scorer", "text"][..], 1), (&["--scorer", "none"], 0), (&[], 0)] {
        let args = [&["replay", "-", "-p", &other], scorer].concat();
        let ran = run_with(&args, trace.as_bytes()).code(0);
        assert_eq!(
            ran.err.matches("warning: --scorer isn't used: no policy looks at scores").count(),
            said,
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_plot_is_a_picture_of_bounded_size() {
    let dir = tempfile::tempdir().unwrap();
    let plot = dir.path().join("out.svg");
    let plot = plot.to_str().unwrap();
    run(&["replay", TRACE, "-p", POLICY, "--plot", plot]).code(0);
    let svg = std::fs::read_to_string(plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for text in ["the mean quality of 20 scores is", "quality_below 0.4", "half-open", "latency", "no call failed"] {
        assert!(svg.contains(text), "{text}");
    }
    // A trace of one call, and a long one.
    let policy = write(dir.path(), "p.toml", THREE);
    let line = |at: u32| {
        let outcome = if at % 7 < 3 { "error" } else { "success" };
        format!("{{\"at_ms\":{at},\"latency_ms\":{},\"outcome\":\"{outcome}\",\"score\":0.5}}\n", at % 900)
    };
    for calls in [1_u32, 50_000] {
        let trace: String = (0..calls).map(line).collect();
        run_with(&["replay", "-", "-p", &policy, "-p", POLICY, "--plot", plot], trace.as_bytes()).code(0);
        let bytes = std::fs::metadata(plot).unwrap().len();
        assert!(bytes < 2_000_000, "{bytes} bytes for {calls} calls");
    }
}

/// Memory is bounded by the program's own limits, not by the trace: the same for ten times the lines.
#[cfg(target_os = "linux")]
#[test]
fn a_long_trace_takes_no_more_memory() {
    use std::process::Stdio;
    let dir = tempfile::tempdir().unwrap();
    let policy = write(dir.path(), "p.toml", THREE);
    let plot = dir.path().join("out.svg");
    let peak_kib = |calls: u32| {
        let mut child = command(&["replay", "-", "-p", &policy, "--plot", plot.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = std::io::BufWriter::new(child.stdin.take().unwrap());
        let filler = "x".repeat(400);
        for at in 0..calls {
            let outcome = if at % 1_000 < 3 { "error" } else { "success" };
            writeln!(stdin, "{{\"at_ms\":{at},\"latency_ms\":40,\"outcome\":\"{outcome}\",\"response\":\"{filler}\"}}")
                .unwrap();
        }
        stdin.flush().unwrap();
        // All but the last buffer has been read, and the program lives, since its input is open.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let (short, long) = (peak_kib(20_000), peak_kib(400_000));
    assert!(long < short + 32 * 1024, "{short} KiB for 20,000 calls, {long} KiB for 400,000");
}
