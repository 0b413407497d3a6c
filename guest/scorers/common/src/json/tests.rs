//! Numbers that JSON doesn't have, and texts that try to blow the stack.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Number, Vectors, is_valid, parse};

fn numbers(text: &str) -> Vec<f64> {
    parse::<Vec<Number>>(text.as_bytes()).expect("readable").into_iter().map(|n| n.0).collect()
}

#[test]
fn every_dialect_of_nan_is_read() {
    for text in ["[NaN, 1]", "[null, 1]", "[\"NaN\", 1]", "[ NaN ,1.0]"] {
        let read = numbers(text);
        assert!(read[0].is_nan() && read[1] == 1.0, "{text}: {read:?}");
    }
    assert_eq!(
        numbers("[-Infinity, Infinity, \"-Infinity\", -1, 3]"),
        [f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY, -1.0, 3.0]
    );
}

#[test]
fn words_within_strings_are_left_alone() {
    let read: Vec<String> = parse(br#"["NaN \" NaN", "-Infinity\\"]"#).expect("readable");
    assert_eq!(read, ["NaN \" NaN", "-Infinity\\"]);
    // The same where a bare word elsewhere makes the text go through the rewriting.
    let mixed: (Number, String) = parse(br#"[NaN, "NaN \" Infinity \\"]"#).expect("readable");
    assert!(mixed.0.0.is_nan());
    assert_eq!(mixed.1, "NaN \" Infinity \\");
}

#[test]
fn other_strings_are_no_numbers() {
    assert!(parse::<Vec<Number>>(b"[\"seven\"]").is_err_and(|e| e.contains("a number")));
    assert!(parse::<Vec<Number>>(b"[1e999]").is_err_and(|e| e.contains("out of range")));
    assert!(parse::<Vec<Number>>(b"[true]").is_err());
}

#[test]
fn validity_is_by_the_book() {
    for valid in ["{}", " [1, {\"a\": null}] ", "\"x\"", "0"] {
        assert!(is_valid(valid), "{valid}");
    }
    for invalid in ["", "{", "NaN", "[1,]", "{} {}", "{'a': 1}", "{\"a\": 01}", "\u{feff}{}"] {
        assert!(!is_valid(invalid), "{invalid}");
    }
}

#[test]
fn depth_blows_no_stack() {
    let deep: String = core::iter::repeat_n('[', 1_000_000).collect();
    assert!(!is_valid(&deep));
    assert!(parse::<Vec<Vec<Number>>>(deep.as_bytes()).is_err());
    let closed: String = core::iter::repeat_n('[', 200_000).chain(core::iter::repeat_n(']', 200_000)).collect();
    let _ = is_valid(&closed);
}

#[test]
fn vectors_come_alone_or_in_a_list() {
    let vectors = |text: &str| parse::<Vectors>(text.as_bytes()).map(|vectors| vectors.0);
    assert_eq!(vectors("[1, -2.5]"), Ok([[1.0, -2.5].into()].into()));
    assert_eq!(vectors("[[1], [2, 3], []]"), Ok([[1.0].into(), [2.0, 3.0].into(), Vec::new()].into()));
    assert_eq!(vectors("[]"), Ok(Vec::new()));
    assert!(vectors("[NaN]").expect("readable")[0][0].is_nan());
    for wrong in ["[1, [2]]", "[[1], 2]", "[[[1]]]", "[true]", "{}", "7"] {
        assert!(vectors(wrong).is_err(), "{wrong}");
    }
}
