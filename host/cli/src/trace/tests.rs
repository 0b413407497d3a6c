//! Reading lines: the trace's own format, other people's, and what is wrong with bad ones.

use super::call::{LateScore, LineProblem, parse};
use super::mapping::{MapArg, Mapping};
use softfuse::OutcomeKind;

fn mapping(args: &[&str]) -> Mapping {
    Mapping::new(&args.iter().map(|arg| arg.parse().unwrap()).collect::<Vec<MapArg>>())
}

fn problem(line: &str, args: &[&str]) -> String {
    let LineProblem { field, message, .. } = parse(line.as_bytes(), 1, &mut mapping(args)).unwrap_err();
    format!("{field}: {message}")
}

#[test]
fn reads_the_own_format() {
    let line = r#"{"at_ms":873.1,"latency_ms":1154.8,"outcome":"rate-limited","score":0.25,"retry_after_ms":2000,
        "late_scores":[{"after_ms":10,"score":-1}],"verdicts":{"b":null,"a":"because"},"model":"m","operation":"chat",
        "request":{"x":1},"response":{"y":[1, 2]},"phase":"healthy"}"#;
    let mut own = mapping(&[]);
    let parsed = parse(line.as_bytes(), 7, &mut own).unwrap();
    assert!(!parsed.dated);
    let call = parsed.call;
    assert_eq!((call.line, call.at, call.latency), (7, 873_100_000, 1_154_800_000));
    assert_eq!((call.kind, call.score), (OutcomeKind::RateLimited, Some(0.25)));
    assert_eq!(call.retry_after, Some(2_000_000_000));
    assert_eq!(call.late_scores, [LateScore { after: 10_000_000, score: -1.0 }]);
    assert_eq!(call.verdicts, [("a".to_owned(), Some("because".to_owned())), ("b".to_owned(), None)]);
    let exchange = parsed.exchange.unwrap();
    assert_eq!((exchange.operation.as_str(), exchange.model.as_str()), ("chat", "m"));
    assert_eq!(exchange.request.unwrap().get(), r#"{"x":1}"#);
    assert_eq!(exchange.response.get(), r#"{"y":[1, 2]}"#);
}

#[test]
fn reads_litellm_payloads() {
    let line = r#"{"id":"x","call_type":"acompletion","status":"failure","startTime":1700000000.5,"endTime":1700000002.0,
        "response_time":1.5,"model":"gpt-4o","error_str":"litellm.RateLimitError: slow down",
        "error_information":{"error_code":"429","error_class":"RateLimitError"},"response":{}}"#;
    let mut litellm = mapping(&["litellm"]);
    let parsed = parse(line.as_bytes(), 1, &mut litellm).unwrap();
    assert_eq!((parsed.call.at, parsed.call.latency), (1_700_000_000_500_000_000, 1_500_000_000));
    assert_eq!(parsed.call.kind, OutcomeKind::RateLimited);
    assert_eq!(parsed.exchange.unwrap().operation, "acompletion");

    // A success says nothing of errors, or says it with empty texts; without `response_time` the end counts.
    let line = r#"{"status":"success","startTime":1700000000.5,"endTime":1700000002.0,"error_str":null,
        "error_information":{"error_code":"","error_class":""},"model":"gpt-4o","response":"Paris"}"#;
    let parsed = parse(line.as_bytes(), 2, &mut litellm).unwrap();
    assert_eq!((parsed.call.latency, parsed.call.kind), (1_500_000_000, OutcomeKind::Success));
    let unused: Vec<&str> = litellm.never_found().map(|(field, _)| field.name()).collect();
    assert_eq!(unused, ["request"]);
}

#[test]
fn reads_dates_and_statuses() {
    let line = r#"{"time":"2026-01-31T12:00:00.25Z","took":"340ms","http":{"status":529}}"#;
    let mut log = mapping(&["at_ms=time,latency_ms=took", "outcome=http.status"]);
    let parsed = parse(line.as_bytes(), 1, &mut log).unwrap();
    assert!(parsed.dated && parsed.exchange.is_none());
    assert_eq!((parsed.call.latency, parsed.call.kind), (340_000_000, OutcomeKind::Overloaded));
    // The log says nothing where there was no error.
    let parsed = parse(br#"{"time":"2026-01-31T12:00:01Z","took":0.1,"http":null}"#, 2, &mut log).unwrap();
    assert_eq!(parsed.call.kind, OutcomeKind::Success);
}

#[test]
fn names_the_field_and_what_would_be_right() {
    for (line, args, said) in [
        ("{", &[][..], ": this is no JSON object: EOF"),
        ("[1]", &[], ": this is no JSON object: invalid type: sequence, expected a JSON object"),
        (r#"{"latency_ms":1,"outcome":"success"}"#, &[], "at_ms: the field is missing"),
        (r#"{"at_ms":0,"outcome":"success"}"#, &[], "latency_ms: the field is missing"),
        (r#"{"at_ms":0,"latency_ms":1}"#, &[], "outcome: the field is missing"),
        (r#"{"at_ms":true,"latency_ms":1,"outcome":"success"}"#, &[], "at_ms: expected a number of milliseconds or"),
        (r#"{"at_ms":0,"latency_ms":-1,"outcome":"success"}"#, &[], "latency_ms: expected a number of milliseconds"),
        (r#"{"at_ms":0,"latency_ms":1,"outcome":"great"}"#, &[], "outcome: expected one of success, error, timeout"),
        (r#"{"at_ms":0,"latency_ms":1,"outcome":"success","score":2e6}"#, &[], "score: expected a number of at most"),
        (r#"{"at_ms":0,"latency_ms":1,"outcome":"success","score":"NaN"}"#, &[], "score: expected a number of at most"),
        (
            r#"{"at_ms":0,"latency_ms":1,"outcome":"success","late_scores":[{"after_ms":1}]}"#,
            &[],
            "late_scores: expected a list such as",
        ),
        (
            r#"{"at_ms":0,"latency_ms":1,"outcome":"success","verdicts":[1]}"#,
            &[],
            "verdicts: expected an object such as",
        ),
        (r#"{"t":0,"d":1}"#, &["at_ms=t,latency_ms=x|y"], "latency_ms: the line has no `x` or `y`"),
        (r#"{"t":"noon","d":1}"#, &["at_ms=t"], "at_ms (t): expected a number of milliseconds or a time such as"),
        (r#"{"t":5,"e":4}"#, &["at_ms=t,end_ms=e"], "end_ms: the call ends before it begins"),
        (r#"{"t":5,"d":1,"s":700}"#, &["at_ms=t,latency_ms=d,outcome=s"], "outcome (s): expected an HTTP status"),
    ] {
        let problem = problem(line, args);
        assert!(problem.starts_with(said), "{line}: {problem}");
    }
}
