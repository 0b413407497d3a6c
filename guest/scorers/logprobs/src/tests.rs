//! The metrics, against numbers worked out by hand, on answers as they come over the wire.

use std::rc::Rc;

use proptest::prelude::{Strategy, any, prop, prop_oneof};
use softfuse_scorer_common::{AnswerStream as _, Body, End, Exchange, Head, ScoreError, Scorer, StreamScorer, Verdict};

use crate::LogprobsScorer;
use crate::config::Metric;

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

#[test]
fn the_defaults_are_those_of_the_empty_text() {
    let read = softfuse_scorer_common::config::read("", LogprobsScorer::read);
    assert_eq!(read, Ok(LogprobsScorer::DEFAULT));
}

fn scorer(config: &str) -> Rc<LogprobsScorer> {
    Rc::new(LogprobsScorer::configure(config).expect("a good configuration"))
}

fn say(config: &str, content_type: &str, answer: &str) -> Result<Verdict, ScoreError> {
    let answer = Body { content_type: content_type.into(), bytes: answer.into(), truncated: false };
    scorer(config).score(&Exchange { head: Head::default(), answer })
}

#[track_caller]
fn score(config: &str, answer: &str) -> f64 {
    match say(config, JSON, answer) {
        Ok(Verdict::Score(score)) => score,
        other => panic!("no score: {other:?}"),
    }
}

#[track_caller]
fn close(config: &str, answer: &str, expected: f64) {
    let score = score(config, answer);
    assert!((score - expected).abs() < 1e-12, "{config}: {score}, not {expected}");
}

#[track_caller]
fn reason(config: &str, content_type: &str, answer: &str) -> String {
    match say(config, content_type, answer) {
        Ok(Verdict::Abstain(why)) => why,
        other => panic!("no abstention: {other:?}"),
    }
}

#[track_caller]
fn malformed(config: &str, content_type: &str, answer: &str) -> String {
    match say(config, content_type, answer) {
        Err(ScoreError::Malformed(what)) => what,
        other => panic!("not malformed: {other:?}"),
    }
}

/// A chat's token with its alternatives.
fn token(logprob: &str, alternatives: &[&str]) -> String {
    let tops: Vec<String> =
        alternatives.iter().map(|p| format!(r#"{{"token":"x","bytes":[120],"logprob":{p}}}"#)).collect();
    format!(r#"{{"token":"a","bytes":[97],"logprob":{logprob},"top_logprobs":[{}]}}"#, tops.join(","))
}

fn content(tokens: &[String]) -> String {
    format!(r#""logprobs":{{"content":[{}],"refusal":null}}"#, tokens.join(","))
}

fn chat(tokens: &[String]) -> String {
    format!(
        r#"{{"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"a"}},{},
        "finish_reason":"stop"}}]}}"#,
        content(tokens)
    )
}

fn plain(logprobs: &[&str]) -> String {
    chat(&logprobs.iter().map(|logprob| token(logprob, &[])).collect::<Vec<_>>())
}

fn chunk(tokens: &[String]) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\"}},{}}}]}}\n\n", content(tokens))
}

fn metric(name: &str) -> String {
    format!("metric = \"{name}\"")
}

#[test]
fn the_metrics_of_plain_tokens() {
    // Probabilities 0.5, 0.25 and 1: mean logarithm (ln .5 + ln .25) / 3 = -ln 2.
    let answer = plain(&["-0.6931471805599453", "-1.3862943611198906", "0"]);
    close("", &answer, 0.5);
    close(&metric("mean_confidence"), &answer, 0.5);
    close(&metric("worst_token"), &answer, 0.25);
    close("metric = \"perplexity\"\nperplexity_max = 8", &answer, 2.0 / 3.0);
    close("metric = \"perplexity\"\nperplexity_max = 1.5", &answer, 0.0);
    close(&metric("perplexity"), &plain(&["0", "-0.0"]), 1.0);
}

#[test]
fn the_metrics_of_alternatives() {
    let (half, quarter) = ("-0.6931471805599453", "-1.3862943611198906");
    // Leads of .25 and 0; the order in which alternatives come doesn't matter.
    let answer = chat(&[token(half, &[quarter, half]), token(half, &[half, half])]);
    close(&metric("margin"), &answer, 0.125);
    // Entropy: 2/3 and 1/3 is .6365 nats of ln 2; one half each is all of it.
    let two_thirds: f64 = 1.0 - (3.0_f64.ln() - 2.0 / 3.0 * 2.0_f64.ln()) / 2.0_f64.ln();
    close(&metric("entropy"), &answer, two_thirds / 2.0);
    // Tokens without alternatives don't count where those are what is measured.
    let mixed = chat(&[token(half, &[half, quarter]), token(half, &[]), token(half, &[half])]);
    close(&metric("margin"), &mixed, 0.25);
    // A certain token: the other alternative is out of reach.
    close(&metric("margin"), &chat(&[token("0", &["0", "-9999.0"])]), 1.0 - (-20.0_f64).exp());
    assert!(score(&metric("entropy"), &chat(&[token("0", &["0", "-9999.0"])])) > 0.999);
}

#[test]
fn the_older_form() {
    let answer = r#"{"choices":[{"text":"a","index":0,"logprobs":{"tokens":["x","y"],"text_offset":[0,1],
        "token_logprobs":[null,-0.6931471805599453],"top_logprobs":[null,{"y":-0.6931471805599453,"z":-1.3862943611198906}]}}]}"#;
    close("", answer, 0.5);
    close(&metric("margin"), answer, 0.25);
    let no_tops =
        r#"{"choices":[{"text":"a","logprobs":{"token_logprobs":[-0.6931471805599453],"top_logprobs":null}}]}"#;
    close("", no_tops, 0.5);
    assert!(malformed("", JSON, &no_tops.replace("[-0.6931471805599453]", "[-1, null]")).contains("token 1"));
}

#[test]
fn one_impossible_token_does_not_decide_the_mean() {
    for impossible in ["-9999.0", "-Infinity", "\"-Infinity\"", "-1e308"] {
        let answer = plain(&["-0.1", "-0.1", "-0.1", impossible]);
        close("", &answer, (-20.3_f64 / 4.0).exp());
        close("logprob_min = -5", &answer, (-5.3_f64 / 4.0).exp());
        close(&metric("worst_token"), &answer, (-20.0_f64).exp());
    }
}

#[test]
fn what_is_no_log_probability_is_malformed() {
    for (wrong, named) in [("NaN", "NaN"), ("null", "NaN"), ("0.9", "0.9"), ("Infinity", "inf"), ("\"x\"", "number")] {
        let what = malformed("", JSON, &plain(&["-0.1", wrong]));
        assert!(what.contains(named) && what.contains("read are"), "{what}");
        malformed("", JSON, &chat(&[token("-0.1", &["-0.1", wrong])]));
    }
    close("", &plain(&["1e-7"]), 1.0); // rounding
    malformed("", JSON, r#"{"choices":[{"logprobs":{"content":[{"token":"a"}]}}]}"#);
    malformed("", JSON, r#"{"choices":[{"logprobs":[1]}]}"#);
}

#[test]
fn the_metrics_of_softmax_vectors() {
    for vector in ["[0.5, 0.25, 0.25, 0]", r#"{"probabilities": [0.5, 0.25, 0.25, 0]}"#, "[[0.5, 0.25, 0.25, 0]]"] {
        close("", vector, 0.5);
        close(&metric("worst_token"), vector, 0.5);
        close(&metric("margin"), vector, 0.25);
        close(&metric("entropy"), vector, 0.25); // 1.5 bits of 2
        close("metric = \"perplexity\"\nperplexity_max = 8", vector, 0.5);
    }
    close("", "[[1, 0], [0.5, 0.5]]", 0.75);
    close(&metric("entropy"), r#"{"probabilities": [[1, 0], [0.5, 0.5]]}"#, 0.5);
    close(&metric("entropy"), "[0.999999, 0.0000005, 0.0000005]", score(&metric("entropy"), "[0.999999, 5e-7, 5e-7]"));
    assert_eq!(say("", "", "[0.75, 0.25]"), Ok(Verdict::Score(0.75)), "recognised without a content type");
}

#[test]
fn what_is_no_distribution_is_malformed() {
    for (vector, named) in [
        ("[]", "no probabilities"),
        ("[1]", "two or more"),
        ("[[0.5, 0.5], []]", "vector 1"),
        ("[0.5, 0.6]", "sum is 1.1"),
        ("[0, 0]", "sum is 0"),
        ("[3.2, -1.1, 0.4]", "entry 1 is -1.1"),
        ("[NaN, 1]", "entry 0 is NaN"),
        ("[null, 1]", "entry 0 is NaN"),
        ("[1, Infinity]", "entry 1 is inf"),
        ("[1e308, 1e308]", "sum is"),
        ("[\"cat\", \"dog\"]", "number"),
        ("[0.5, [0.5]]", "list"),
        ("[0.5, 0.5", "EOF"),
        ("{\"probabilities\": 3}", "list"),
        ("{\"probabilities\": {\"cat\": 1}}", "list"),
    ] {
        let what = malformed("", JSON, vector);
        assert!(what.contains(named), "{vector}: {what}");
        assert!(what.contains("JSON list of probabilities that sum to 1"), "{what}");
    }
    close("", "[0.502, 0.503]", 0.503); // 16-bit floats
    malformed("sum_tolerance = 0.001", JSON, "[0.502, 0.503]");
}

#[test]
fn streams_add_up() {
    let half = token("-0.6931471805599453", &[]);
    let stream = format!(
        "data: {{\"choices\":[]}}\n\n{}{}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n",
        chunk(std::slice::from_ref(&half)),
        chunk(&[token("-1.3862943611198906", &[]), token("0", &[])]),
    );
    let Ok(Verdict::Score(score)) = say("", SSE, &stream) else { panic!("no score") };
    assert!((score - 0.5).abs() < 1e-12);
    // Without its end.
    let broken = chunk(&[half]);
    assert_eq!(say("", SSE, &broken), Ok(Verdict::Score(0.5)));
    assert!(reason("broken_stream = \"abstain\"", SSE, &broken).contains("broke off"));
    assert!(matches!(
        say("broken_stream = \"abstain\"", SSE, &format!("{broken}data: [DONE]\n\n")),
        Ok(Verdict::Score(_))
    ));
    let mut stream = scorer("").begin(&Head::default(), SSE);
    assert_eq!(stream.push(broken.as_bytes()), Ok(None));
    assert_eq!(stream.finish(End::Broken), Ok(Verdict::Score(0.5)));
    assert_eq!(stream.push(b"data: x\n\n"), Ok(Some(Verdict::Score(0.5))), "it stands");
}

#[test]
fn other_exchanges_are_left_to_others() {
    for (content_type, answer) in [
        (JSON, r#"{"choices":[{"message":{"content":"a"},"logprobs":null}]}"#),
        (JSON, r#"{"choices":[{"message":{"content":"a"}}]}"#),
        (JSON, r#"{"choices":[]}"#),
        (JSON, r#"{"city":"Paris"}"#),
        (JSON, "7"),
        (SSE, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n"),
        (SSE, ""),
    ] {
        assert!(reason("", content_type, answer).contains("\"logprobs\": true"), "{content_type} {answer}");
    }
    assert!(reason("", "text/plain", "Paris.").contains("plain text"));
    assert!(reason("", "", "{not json}").contains("plain text"));
    assert!(reason("", "image/png", "x").contains("image/png"));
    assert!(reason("", JSON, r#"{"error":"overloaded"}"#).contains("error"));
    assert!(reason(&metric("margin"), JSON, &plain(&["-0.1"])).contains("top_logprobs"));
    assert!(reason("tokens_min = 3", JSON, &plain(&["-0.1", "-0.1"])).contains("tokens_min"));
}

#[test]
fn what_the_host_cut_is_not_malformed() {
    let cut = |content_type: &str, answer: &str| {
        let answer = Body { content_type: content_type.into(), bytes: answer.into(), truncated: true };
        scorer("").score(&Exchange { head: Head::default(), answer })
    };
    assert!(matches!(cut(JSON, "{\"choices\":["), Ok(Verdict::Abstain(why)) if why.contains("cut")));
    let stream = chunk(&[token("0", &[])]) + "data: {\"cho";
    assert_eq!(cut(SSE, &stream), Ok(Verdict::Score(1.0)));
}

#[test]
fn the_first_choice_is_scored() {
    let two = format!(
        r#"{{"choices":[{{"index":1,{}}},{{"index":0,{}}}]}}"#,
        content(&[token("-5", &[])]),
        content(&[token("0", &[])])
    );
    close("", &two, 1.0);
}

#[test]
fn depth_blows_no_stack() {
    let deep = "[".repeat(1_000_000);
    malformed("", JSON, &deep);
    malformed("", JSON, &format!(r#"{{"choices":{deep}"#));
    malformed("", JSON, &format!(r#"{{"probabilities":{deep}"#));
    malformed("", SSE, &format!("data: {}\n\n", "[".repeat(100_000)));
}

#[test]
fn the_readme_shows_the_defaults() {
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("logprobs\n")).expect("a section");
    let shown = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a TOML block");
    assert_eq!(format!("{:?}", scorer(shown)), format!("{:?}", scorer("")));
}

#[test]
fn bad_configurations_name_every_key() {
    let bad = "metric = \"entropie\"\nlogprob_min = 3\nperplexity_max = 1\ntokens_min = 0\ntop_k = 3";
    let problems = LogprobsScorer::configure(bad).expect_err("bad");
    let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["metric", "logprob_min", "perplexity_max", "tokens_min", "top_k"]);
    assert!(problems[0].message.contains("did you mean \"entropy\"?"), "{problems:?}");
}

/// Answers from noise to nearly right.
fn answers() -> impl Strategy<Value = (String, Vec<u8>)> {
    let number = "-?[0-9]{1,3}(\\.[0-9]{1,3})?(e-?[0-9]{1,3})?|NaN|null|-Infinity|-9999\\.0";
    let numbers = prop::collection::vec(number, 0..6);
    let text = prop_oneof![
        "(\\{\"choices\":|\\[|\\]|\\{|\\}|\"logprobs\":|\"content\":|null|,|-0\\.5|data: |\n|NaN|\\[DONE\\]){0,12}",
        numbers.clone().prop_map(|numbers| format!("[{}]", numbers.join(","))),
        numbers.clone().prop_map(|numbers| plain(&numbers.iter().map(String::as_str).collect::<Vec<_>>())),
        numbers.prop_map(|numbers| chunk(&[token("-0.5", &numbers.iter().map(String::as_str).collect::<Vec<_>>())])),
    ]
    .prop_map(String::into_bytes);
    let bytes = prop_oneof![6 => text, 1 => prop::collection::vec(any::<u8>(), 0..100)];
    ("|text/plain|application/json|text/event-stream", bytes)
}

fn metrics() -> impl Strategy<Value = String> {
    prop::sample::select(Metric::NAMES.map(|(name, _)| metric(name)).to_vec())
}

proptest::proptest! {
    #[test]
    fn no_answer_panics_and_scores_are_from_0_to_1(
        (content_type, bytes) in answers(),
        config in metrics(),
        truncated in any::<bool>(),
    ) {
        let exchange = Exchange { head: Head::default(), answer: Body { content_type, bytes, truncated } };
        if let Ok(Verdict::Score(score)) = scorer(&config).score(&exchange) {
            proptest::prop_assert!((0.0..=1.0).contains(&score), "{}", score);
        }
    }

    #[test]
    fn pieces_get_the_score_of_the_whole((content_type, bytes) in answers(), config in metrics(), size in 1_usize..20) {
        let scorer = scorer(&config);
        let whole = scorer.score(&Exchange {
            head: Head::default(),
            answer: Body { content_type: content_type.clone(), bytes: bytes.clone(), truncated: false },
        });
        let mut stream = scorer.begin(&Head::default(), &content_type);
        let early = bytes.chunks(size).find_map(|piece| stream.push(piece).transpose());
        let abstained = matches!(early, Some(Ok(Verdict::Abstain(_))));
        let pieces = early.unwrap_or_else(|| stream.finish(End::Complete));
        // A plain text is none of ours before what is wrong behind it is seen.
        proptest::prop_assert!(pieces == whole || (abstained && whole.is_err()), "{:?} {:?}", pieces, whole);
    }

    #[test]
    fn every_distribution_gets_a_score(weights in prop::collection::vec(0.0..1.0_f64, 2..50), config in metrics()) {
        let sum: f64 = weights.iter().sum();
        proptest::prop_assume!(sum > 1e-6);
        let vector: Vec<String> = weights.iter().map(|weight| format!("{:e}", weight / sum)).collect();
        let vector = format!("[{}]", vector.join(","));
        proptest::prop_assert!((0.0..=1.0).contains(&score(&config, &vector)));
    }

    #[test]
    fn less_likely_tokens_never_score_more(
        logprobs in prop::collection::vec(-30.0..0.0_f64, 1..20),
        at in any::<prop::sample::Index>(),
        less in 0.0..20.0_f64,
        config in prop::sample::select(vec!["mean_confidence", "worst_token", "perplexity"]),
    ) {
        let text = |logprobs: &[f64]| plain(&logprobs.iter().map(|p| format!("{p:e}")).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
        let mut worse = logprobs.clone();
        worse[at.index(logprobs.len())] -= less;
        proptest::prop_assert!(score(&metric(config), &text(&worse)) <= score(&metric(config), &text(&logprobs)) + 1e-12);
    }
}
