//! Loops and few distinct n-grams, in several scripts, and texts that look like it and aren't.

use proptest::prelude::{Strategy, any, prop, prop_oneof};

use super::{Limits, Repetition};

mod plain;

fn limits(config: &str) -> Limits {
    softfuse_scorer_common::config::read(config, Limits::read).expect("a good configuration")
}

fn severity(text: &str) -> f64 {
    let mut repetition = Repetition::new(limits(""));
    repetition.push(text);
    repetition.finish()
}

/// A paragraph as people write them.
const PROSE: &str = "The breaker watches what the model says. When answers turn bad it opens, and calls go to the next \
    provider until the first one has recovered. Latency and errors are watched as well, but they were never the hard \
    part: a model that fails softly returns two hundred, quickly, and the answer is worthless. So each answer gets a \
    score between zero and one, and a window of scores decides. Nobody has to guess from a status code any more.";

#[test]
fn prose_is_fine() {
    assert_eq!(severity(PROSE), 0.0);
    assert_eq!(severity(""), 0.0);
    assert_eq!(severity("Yes."), 0.0);
}

#[test]
fn code_tables_and_lists_are_fine() {
    let table = "| name | value |\n|------|-------|\n".to_owned()
        + &(0..40).map(|i| format!("| row{i} | {} |\n", i * 37)).collect::<String>();
    assert_eq!(severity(&table), 0.0);
    let code = "fn main() {\n    for i in 0..10 {\n        println!(\"{}\", i);\n    }\n}\n".repeat(2);
    assert_eq!(severity(&code), 0.0);
    assert_eq!(severity(&format!("Title\n{}\nText", "=".repeat(120))), 0.0);
}

#[test]
fn a_loop_is_found_at_every_period() {
    for period in [1, 2, 3, 7, 20, 64] {
        let unit: String = (0..period).map(|i| format!("word{i} ")).collect();
        let looped = format!("{PROSE} {}", unit.repeat(40 / period + 4));
        assert_eq!(severity(&looped), 1.0, "period {period}");
    }
}

#[test]
fn a_loop_needs_both_its_length_and_its_rounds() {
    assert_eq!(severity("no no no no no"), 0.0);
    assert_eq!(severity(&"ha ".repeat(39)), 1.0, "its n-grams are all the same");
    let unit: String = (0..30).map(|i| format!("word{i} ")).collect();
    let twice = format!("{PROSE} {}", unit.repeat(2));
    assert_eq!(severity(&twice), 0.0, "two rounds are a refrain");
}

#[test]
fn one_character_for_ever_is_a_loop() {
    for character in ['!', '\n', 'a', '0', ' ', '哈', '\u{fffd}'] {
        assert_eq!(severity(&character.to_string().repeat(200)), 1.0, "{character:?}");
    }
    assert_eq!(severity(&"!".repeat(199)), 0.0);
}

#[test]
fn loops_without_spaces_are_found() {
    assert_eq!(severity(&"abcabd".repeat(400)), 1.0);
    assert_eq!(severity(&"我不知道。".repeat(40)), 1.0);
    assert_eq!(severity(&"わかりません、".repeat(40)), 1.0);
}

#[test]
fn few_distinct_trigrams_are_graded() {
    // Ten blocks of 20 words, so many of them the same, in an order without a loop.
    let block = |i: usize| -> String { (0..20).map(|w| format!("b{i}w{w} ")).collect() };
    let text = |order: &[usize]| -> String { order.iter().map(|i| block(*i)).collect() };
    let fresh = severity(&text(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    let some = severity(&text(&[0, 1, 0, 2, 1, 0, 1, 2, 0, 1]));
    let few = severity(&text(&[0, 1, 0, 0, 1, 1, 0, 1, 0, 0]));
    assert_eq!(fresh, 0.0);
    assert!(0.0 < some && some < few && few <= 1.0, "{some} {few}");
}

#[test]
fn the_worst_window_counts_whatever_the_length() {
    let varied: String = (0..2000).map(|i| format!("w{i} ")).collect();
    let block: String = (0..20).map(|i| format!("x{i} ")).collect();
    let bad = [1, 1, 0, 1, 1, 0, 1, 1, 0, 1].map(|same| if same == 1 { block.clone() } else { "y z ".into() }).concat();
    assert_eq!(severity(&varied), 0.0);
    assert!(severity(&format!("{varied}{bad}{bad}{varied}")) > 0.5);
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let problems = softfuse_scorer_common::config::read(
        "distinct_good = 0.3\ndistinct_bad = 0.4\nwords_min = 300\n",
        Limits::read,
    )
    .expect_err("contradictions");
    let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["distinct_bad", "words_min"]);
}

/// Texts of few words in several scripts, with rounds, runs and long words in them.
fn texts() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-dA-D]{1,2}",
        2 => "[a-z0-9]{1,40}",
        1 => "caf\u{e9}s?|na\u{ef}ve[a-c]?|\u{c9}T\u{c9}|哈|我不",
        1 => ("[a!\n0 哈]", 1..60_usize).prop_map(|(unit, times)| unit.repeat(times)),
    ];
    let gap = prop_oneof![8 => " ", 1 => "[.,;:!?@\\[`{/]", 1 => "\r\n|\u{2014}|\u{a0}|。"];
    let some = prop::collection::vec((word, gap), 1..40)
        .prop_map(|words| words.into_iter().map(|(word, gap)| word + &gap).collect::<String>());
    prop::collection::vec((some, 1..4_usize), 1..6)
        .prop_map(|parts| parts.into_iter().map(|(part, times)| part.repeat(times)).collect())
}

fn some_limits() -> impl Strategy<Value = Limits> {
    (1..=8_usize, 20..60_usize, 0..10_usize, 4..50_usize, 2..5_usize, 10..60_usize).prop_map(
        |(n, window_words, fewer, loop_words, loop_repeats, run_characters)| Limits {
            n,
            window_words,
            words_min: window_words - fewer,
            distinct_good: 0.9,
            loop_words,
            loop_repeats,
            run_characters,
            ..Limits::DEFAULT
        },
    )
}

proptest::proptest! {
    #[test]
    fn pieces_make_no_difference(text in "([a-c ]|\\PC|哈){0,400}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        let limits = limits("n = 2\nwindow_words = 20\nwords_min = 10\nloop_words = 8\nrun_characters = 10");
        let mut whole = Repetition::new(limits);
        whole.push(&text);
        let defined = plain::severity(&text, &limits);
        let characters: Vec<char> = text.chars().collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(characters.len() + 1)).collect();
        ends.push(characters.len());
        ends.sort_unstable();
        let mut pieces = Repetition::new(limits);
        let mut from = 0;
        for end in ends {
            pieces.push(&characters[from..end].iter().collect::<String>());
            from = end;
        }
        let (whole, pieces) = (whole.finish(), pieces.finish());
        proptest::prop_assert_eq!(whole, pieces);
        proptest::prop_assert_eq!(whole, defined);
    }

    #[test]
    fn texts_get_what_the_definitions_say(text in texts(), limits in some_limits()) {
        let mut repetition = Repetition::new(limits);
        repetition.push(&text);
        proptest::prop_assert_eq!(repetition.finish(), plain::severity(&text, &limits));
    }

    #[test]
    fn every_loop_ends_early(unit in prop::collection::vec("[a-z]{1,8}", 1..64).prop_map(|words| words.join(" ") + " ")) {
        let mut repetition = Repetition::new(limits(""));
        // Enough rounds for either limit, whatever the period.
        repetition.push(&unit.repeat(45));
        proptest::prop_assert!(repetition.is_looped());
    }
}
