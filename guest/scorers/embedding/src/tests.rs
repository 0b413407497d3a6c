//! Healthy and broken embeddings, as services send them.

use std::rc::Rc;

use base64::Engine as _;
use proptest::prelude::{Strategy, any, prop, prop_oneof};
use softfuse_scorer_common::{Body, Exchange, Head, ScoreError, Scorer, Verdict};

use crate::EmbeddingScorer;
use crate::checks::unit;

const JSON: &str = "application/json";

#[test]
fn the_defaults_are_those_of_the_empty_text() {
    let read = softfuse_scorer_common::config::read("", EmbeddingScorer::read);
    assert_eq!(read, Ok(EmbeddingScorer::DEFAULT));
}

fn scorer(config: &str) -> Rc<EmbeddingScorer> {
    Rc::new(EmbeddingScorer::configure(config).expect("a good configuration"))
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
    assert!((score - expected).abs() < 1e-12, "{config} {answer}: {score}, not {expected}");
}

fn base64_of(numbers: &[f32]) -> String {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn every_form_is_read() {
    let encoded = base64_of(&[0.6, 0.8]);
    for answer in [
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.6,0.8]}],"usage":{"total_tokens":3}}"#,
        &format!(r#"{{"data":[{{"embedding":"{encoded}"}}]}}"#),
        &format!(r#"{{"data":[{{"embedding":"{}"}}]}}"#, encoded.trim_end_matches('=')),
        r#"{"embedding":[0.6,0.8]}"#,
        r#"{"model":"m","embeddings":[[0.6,0.8]]}"#,
        "[0.6, 0.8]",
        "[[0.6, 0.8]]",
    ] {
        close("dimension = 2\n[norm]\nexpected = 1\n[drift]\nreference = [3, 4]", answer, 1.0);
        assert_eq!(score("dimension = 3", answer), 0.0, "{answer}");
        assert_eq!(say("", "", answer), Ok(Verdict::Score(1.0)), "recognised without a content type");
    }
}

#[test]
fn vectors_without_content_are_worthless() {
    for answer in [
        "[0, 0, 0]",
        "[0.0, -0.0]",
        "[NaN, 1]",
        "[null, 1]",
        "[1, Infinity]",
        "[\"NaN\"]",
        "[]",
        "[[]]",
        "[[1, 2], []]",
        "[[1, 2], [0, 0]]",
        r#"{"data":[]}"#,
        r#"{"data":[{"embedding":[1]},{"embedding":null}]}"#,
        r#"{"embedding":[]}"#,
        r#"{"embedding":""}"#,
        &format!(r#"{{"embedding":"{}"}}"#, base64_of(&[f32::NAN, 1.0])),
        &format!(r#"{{"embedding":"{}"}}"#, base64_of(&[f32::INFINITY, 1.0])),
    ] {
        assert_eq!(score("", answer), 0.0, "{answer}");
    }
}

#[test]
fn dimensions_must_agree() {
    assert_eq!(score("", "[[1, 2], [1, 2, 3]]"), 0.0);
    assert_eq!(score("dimension = 3", "[1, 2, 3]"), 1.0);
    assert_eq!(score("dimension = 3", "[1, 2, 3, 4]"), 0.0);
    assert_eq!(score("[drift]\nreference = [1, 2]", "[1, 2, 3]"), 0.0);
}

#[test]
fn a_norm_may_shift_a_little() {
    let config = "[norm]\nexpected = 2\ntolerance = 0.1\nshift_max = 0.5";
    for (vector, expected) in [
        ("[0, 2]", 1.0),
        ("[0, -2.2]", 1.0),
        ("[1.8, 0]", 1.0),
        ("[2.6]", 0.5),
        ("[1.4]", 0.5),
        ("[3]", 0.0),
        ("[1]", 0.0),
        ("[1e308, 1e308]", 0.0),
        ("[5e-324]", 0.0),
        ("[[2, 0], [0, 2.6]]", 0.5),
    ] {
        close(config, vector, expected);
    }
    assert_eq!(score("", "[1000]"), 1.0, "not checked where no norm is expected");
}

#[test]
fn drift_is_the_mean_cosine_with_the_reference() {
    let config = "[drift]\nreference = [10, 0]\ncosine_good = 0.8\ncosine_bad = 0.4";
    for (vectors, expected) in [
        ("[5, 0]", 1.0),
        ("[0.8, 0.6]", 1.0),
        ("[6, 8]", 0.5),
        ("[0, 1]", 0.0),
        ("[-1, 0]", 0.0),
        ("[[1, 0], [0, 1]]", 0.25),
        ("[1e300, 0]", 1.0),
        ("[1e-300, 0]", 1.0),
    ] {
        close(config, vectors, expected);
    }
}

#[test]
fn vectors_that_are_all_alike_have_collapsed() {
    let alike = "[[1, 0.001], [1, 0.002], [1, 0.003]]";
    assert_eq!(score("", alike), 0.0);
    assert_eq!(score("[collapse]\ncheck = false", alike), 1.0);
    assert_eq!(score("[collapse]\nvectors_min = 4", alike), 1.0);
    assert_eq!(score("", "[[1, 0], [0.6, 0.8], [0, 1]]"), 1.0);
    assert_eq!(score("", "[[1, 0], [1, 0]]"), 1.0, "two may be the same question");
    assert_eq!(score("", "[[1, 0], [-2, 0], [1, 0], [-2, 0]]"), 1.0, "opposites aren't alike");
    // Cosines 1, .96 and .96, their mean .97333; lengths don't matter.
    let nearly = "[[1, 0], [7, 0], [0.96, 0.28]]";
    close("", nearly, (0.99 - (1.0 + 2.0 * 0.96) / 3.0) / 0.04);
    close("[collapse]\ncosine_good = 0\ncosine_bad = 1", "[[1, 0], [1, 0], [0, 1]]", 2.0 / 3.0);
}

#[test]
fn other_exchanges_are_left_to_others() {
    for (content_type, answer) in [
        ("text/plain", "[0.1]"),
        ("", "hello"),
        ("", "[not json"),
        ("", ""),
        ("text/event-stream", "data: [0.1]\n\n"),
        ("image/png", "x"),
        (JSON, r#"{"choices":[{"message":{"content":"a"}}]}"#),
        (JSON, r#"{"error":{"message":"overloaded"}}"#),
        (JSON, r#"{"object":"list","data":[{"id":"some-model"}]}"#),
        (JSON, "{}"),
        (JSON, "\"hello\""),
    ] {
        let said = say("", content_type, answer);
        assert!(matches!(said, Ok(Verdict::Abstain(_))), "{content_type} {answer}: {said:?}");
    }
    let answer = Body { content_type: JSON.into(), bytes: b"{\"data\":[{\"emb".to_vec(), truncated: true };
    let said = scorer("").score(&Exchange { head: Head::default(), answer });
    assert!(matches!(said, Ok(Verdict::Abstain(why)) if why.contains("cut")));
}

#[test]
fn what_is_no_vector_is_malformed() {
    for (answer, named) in [
        ("[0.1, \"x\"]", "a number"),
        ("[0.1, [0.2]]", "list"),
        ("[0.1", "EOF"),
        ("[1e999]", "out of range"),
        ("", "EOF"),
        (r#"{"data":[{"embedding":[true]}]}"#, "number"),
        (r#"{"data":[{"embedding":7}]}"#, "list of numbers, or base64"),
        (r#"{"data":[{"embedding":"%%%%"}]}"#, "no base64"),
        (r#"{"data":[{"embedding":"AAAA"}]}"#, "3 bytes"),
        (r#"{"data":{}}"#, "sequence"),
        (r#"{"embeddings":{"float":[[1]]}}"#, "list"),
    ] {
        match say("", JSON, answer) {
            Err(ScoreError::Malformed(what)) => {
                assert!(what.contains(named) && what.contains("read are OpenAI-style embeddings"), "{answer}: {what}");
            }
            other => panic!("{answer}: {other:?}"),
        }
    }
    let deep = "[".repeat(1_000_000);
    for answer in [deep.clone(), format!(r#"{{"data":{deep}"#), format!(r#"{{"x":{deep}"#)] {
        assert!(matches!(say("", JSON, &answer), Err(ScoreError::Malformed(_))));
    }
}

#[test]
fn the_readme_shows_the_defaults() {
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("embedding\n")).expect("a section");
    let shown = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a TOML block");
    assert_eq!(format!("{:?}", scorer(shown)), format!("{:?}", scorer("")));
}

#[test]
fn bad_configurations_name_every_key() {
    let bad = "dimension = 3\ncolapse = 1\n[norm]\nexpected = 0\ntolerance = 0.7\n[drift]\nreference = [0, 0.0]\n\
               cosine_bad = 0.5\n[collapse]\ncosine_good = 0.99\nvectors_min = 1";
    let problems = EmbeddingScorer::configure(bad).expect_err("bad");
    let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "norm.expected",
            "norm.tolerance",
            "drift.cosine_bad",
            "drift.reference",
            "drift.reference",
            "collapse.vectors_min",
            "collapse.cosine_good",
            "colapse"
        ]
    );
}

#[test]
fn a_large_reference_is_read() {
    let numbers: Vec<String> = (0..4096).map(|i| format!("{}", f64::from(i) / 4096.0 - 0.5)).collect();
    let config = format!("[drift]\nreference = [{}]", numbers.join(", "));
    close(&config, &format!("[{}]", numbers.join(",")), 1.0);
}

/// Answers from noise to nearly right.
fn answers() -> impl Strategy<Value = (String, Vec<u8>)> {
    let number = "-?[0-9]{1,3}(\\.[0-9]{1,3})?(e-?[0-9]{1,3})?|NaN|null|Infinity|0";
    let vector = prop::collection::vec(number, 0..5).prop_map(|numbers| format!("[{}]", numbers.join(",")));
    let text = prop_oneof![
        "(\\{\"data\":|\\[|\\]|\\{|\\}|\"embedding\":|null|,|0\\.5|\"AAAAAA==\"|NaN){0,12}",
        vector.clone(),
        prop::collection::vec(vector.clone(), 0..5).prop_map(|vectors| format!("[{}]", vectors.join(","))),
        vector.prop_map(|vector| format!(r#"{{"data":[{{"embedding":{vector}}}]}}"#)),
        prop::collection::vec(any::<f32>(), 0..4).prop_map(|n| format!(r#"{{"embedding":"{}"}}"#, base64_of(&n))),
    ]
    .prop_map(String::into_bytes);
    let bytes = prop_oneof![6 => text, 1 => prop::collection::vec(any::<u8>(), 0..100)];
    ("|text/plain|application/json", bytes)
}

proptest::proptest! {
    #[test]
    fn no_answer_panics_and_scores_are_from_0_to_1((content_type, bytes) in answers(), truncated in any::<bool>()) {
        let exchange = Exchange { head: Head::default(), answer: Body { content_type, bytes, truncated } };
        for config in ["", "[norm]\nexpected = 1\n[drift]\nreference = [1, 2]", "[collapse]\nvectors_min = 2"] {
            if let Ok(Verdict::Score(score)) = scorer(config).score(&exchange) {
                proptest::prop_assert!((0.0..=1.0).contains(&score), "{}", score);
            }
        }
    }

    #[test]
    fn directions_have_length_one(vector in prop::collection::vec(any::<f64>(), 0..20)) {
        let good = vector.iter().all(|number| number.is_finite()) && vector.iter().any(|number| *number != 0.0);
        proptest::prop_assert_eq!(unit(&vector).is_some(), good);
        if let Some((norm, unit)) = unit(&vector) {
            let length: f64 = unit.iter().map(|number| number * number).sum();
            proptest::prop_assert!((length - 1.0).abs() < 1e-9 && norm > 0.0, "{} {}", length, norm);
        }
    }

    #[test]
    fn drift_does_not_see_lengths(vector in prop::collection::vec(-1.0..1.0_f64, 3), factor in 1e-3..1e3_f64) {
        proptest::prop_assume!(vector.iter().any(|number| number.abs() > 1e-3));
        let config = "[drift]\nreference = [1, -2, 3]\ncosine_good = 1\ncosine_bad = -1";
        let text = |factor: f64| format!("[{}]", vector.iter().map(|n| format!("{:e}", n * factor)).collect::<Vec<_>>().join(","));
        proptest::prop_assert!((score(config, &text(1.0)) - score(config, &text(factor))).abs() < 1e-9);
    }
}
