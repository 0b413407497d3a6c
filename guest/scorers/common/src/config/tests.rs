//! Every kind of value, right and wrong, and that all problems come at once.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{CONFIG_BYTES_MAX, Section, nearest, read};
use crate::exchange::ConfigProblem;

#[derive(Debug, PartialEq)]
struct Sample {
    number: f64,
    maybe: Option<f64>,
    count: usize,
    flag: bool,
    word: u8,
    strings: Option<Vec<String>>,
    numbers: Option<Vec<f64>>,
    nested: f64,
}

fn sample(section: &mut Section<'_>) -> Sample {
    Sample {
        number: section.number("number", 0.0..=1.0, 0.5),
        maybe: section.optional_number("maybe", -1e9..=1e9),
        count: section.count("count", 1..=10, 3),
        flag: section.flag("flag", true),
        word: section.word("word", &[("auto", 1), ("never", 2)], 1),
        strings: section.strings("strings", 2, 5),
        numbers: section.numbers("numbers", 2..=3),
        nested: section.section("nested", |nested| nested.number("number", 0.0..=1.0, 0.25)),
    }
}

fn problems(text: &str) -> Vec<ConfigProblem> {
    read(text, sample).expect_err(text)
}

#[test]
fn the_empty_text_is_the_defaults() {
    let defaults =
        Sample { number: 0.5, maybe: None, count: 3, flag: true, word: 1, strings: None, numbers: None, nested: 0.25 };
    assert_eq!(read("", sample), Ok(defaults));
    assert!(read("# nothing but a comment\n[nested]\n", sample).is_ok());
}

#[test]
fn every_kind_of_value_is_read() {
    let text = "number = 1\nmaybe = -2.5e3\ncount = 0x0a\nflag = false\nword = \"never\"\nstrings = ['a', \"b\"]\n\
                numbers = [1, -2.5]\n[nested]\nnumber = 0.125";
    let expected = Sample {
        number: 1.0,
        maybe: Some(-2500.0),
        count: 10,
        flag: false,
        word: 2,
        strings: Some(["a", "b"].map(String::from).into()),
        numbers: Some([1.0, -2.5].into()),
        nested: 0.125,
    };
    assert_eq!(read(text, sample), Ok(expected));
}

#[test]
fn all_problems_come_at_once_with_line_key_value_and_remedy() {
    let text = "number = 1.5\nmaybe = nan\ncount = 2.0\nflag = \"yes\"\nword = \"nevr\"\nstrings = ['']\n\
                numbers = [1, inf]\nnumbre = 1\n[nested]\nnumber = true\ncolour = 1";
    let found: Vec<String> = problems(text).iter().map(|p| format!("{}: {}", p.key, p.message)).collect();
    assert_eq!(
        found,
        [
            "number: line 1: is 1.5; it must be a number from 0 to 1",
            "maybe: line 2: is nan; it must be a number from -1000000000 to 1000000000",
            "count: line 3: is 2.0; it must be a whole number from 1 to 10",
            "flag: line 4: is \"yes\"; it must be true or false",
            "word: line 5: is \"nevr\"; it must be one of \"auto\", \"never\" (did you mean \"never\"?)",
            "strings: line 6: is ['']; it must be a list of at most 2 strings, each of 1 to 5 bytes and not blank",
            "numbers: line 7: is [1, inf]; it must be a list of 2 to 3 finite numbers",
            "nested.number: line 10: is true; it must be a number from 0 to 1",
            "nested.colour: line 11: there is no such key; known here are: number",
            "numbre: line 8: there is no such key; did you mean number?",
        ]
    );
}

#[test]
fn a_value_where_a_table_belongs() {
    let found = problems("nested = 3");
    assert_eq!(found[0].key, "nested");
    assert_eq!(found[0].message, "line 1: is an integer; it must be a table: [nested]");
}

#[test]
fn syntax_errors_name_the_line() {
    let found = problems("number = 0.1\ncount = = 2\nflag = maybe\n");
    assert!(found.iter().all(|p| p.key.is_empty()), "{found:?}");
    assert!(found[0].message.starts_with("line 2: "), "{found:?}");
    assert!(found.iter().any(|p| p.message.starts_with("line 3: ")), "{found:?}");
    assert!(problems("number = 1\nnumber = 0").iter().any(|p| p.message.contains("duplicate key")));
}

#[test]
fn size_depth_and_number_of_problems_are_bounded() {
    assert!(problems(&" ".repeat(CONFIG_BYTES_MAX + 1))[0].message.contains("at most"));
    assert!(!problems(&format!("number = {}", "[".repeat(100_000))).is_empty());
    assert!(!problems(&format!("{} = 1", ["a"; 10_000].join("."))).is_empty());
    let many: Vec<String> = (0..1000).map(|i| format!("key{i} = 1")).collect();
    assert_eq!(problems(&many.join("\n")).len(), 100);
    let long = problems(&format!("number = \"{}\"", "x".repeat(1000)))[0].message.to_string();
    assert!(long.len() < 200, "{long}");
}

#[test]
fn the_nearest_word_is_one_that_may_have_been_meant() {
    let words = ["penalty", "refusal", "json"];
    assert_eq!(nearest("penality", words.into_iter()), Some("penalty"));
    assert_eq!(nearest("Json", words.into_iter()), Some("json"));
    assert_eq!(nearest("temperature", words.into_iter()), None);
    assert_eq!(nearest("", words.into_iter()), None);
    assert_eq!(nearest(&"x".repeat(1000), words.into_iter()), None);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}|(number|count|word|nested) ?=? ?[-0-9a-z.\\[\\]{}'\"= \n]{0,30}") {
        if let Err(problems) = read(&text, sample) {
            proptest::prop_assert!(!problems.is_empty());
        }
    }
}
