//! What a file of cases may say, and what is said of one that can't be read.

use softfuse::ConfigProblem;

use super::*;

fn score(score: f64) -> ScoreOutcome {
    ScoreOutcome::Score(score.try_into().unwrap())
}

#[test]
fn cases_are_read_whole() {
    let read = Cases::read(
        r#"
        config = "a = 1"
        [[case]]
        name = "one"
        operation = "chat"
        model = "m"
        request = { content_type = "application/json", text = "{}" }
        metadata = { tenant = "x", language = "en" }
        answer = { bytes = [0, 255], truncated = true }
        score = { at_least = 0.25 }
        [[case]]
        name = "two"
        answer = "Paris"
        abstains = ""
        [[case]]
        name = "three"
        config = "nonsense"
        misconfigured = "nonsense"
        "#,
    )
    .unwrap();
    assert_eq!(read.config.as_deref(), Some("a = 1"));
    let exchange = read.cases[0].exchange();
    assert_eq!((exchange.head.operation.as_str(), exchange.head.model.as_str()), ("chat", "m"));
    assert_eq!(exchange.head.request, Body::new("application/json", "{}"));
    assert_eq!(exchange.answer, Body { content_type: String::new(), bytes: vec![0, 255], truncated: true });
    let metadata = [("language", "en"), ("tenant", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(exchange.head.metadata, metadata);
    assert_eq!(read.cases[1].exchange().answer, Body::new("", "Paris"));
    let wanted: Vec<String> = read.cases.iter().map(|case| case.wanted().unwrap().to_string()).collect();
    assert_eq!(
        wanted,
        ["a score of at least 0.25", "an abstention", "a refusal of the configuration that says `nonsense`"]
    );
}

#[test]
fn what_came_is_compared_with_what_was_wanted() {
    let wants = |text: &str, outcome: &ScoreOutcome| {
        let read = Cases::read(&format!("[[case]]\nname = \"x\"\nanswer = \"y\"\n{text}")).unwrap();
        read.cases[0].wanted().unwrap().is_met_by(outcome)
    };
    let abstained = ScoreOutcome::Abstained("an image".to_owned());
    let malformed = ScoreOutcome::Failed(ScorerFailure::Malformed("no JSON".to_owned()));
    let refused = ScoreOutcome::Failed(ScorerFailure::Refused("no JSON".to_owned()));
    for (text, outcome, met) in [
        ("score = 1", score(1.0), true),
        ("score = 0.3", score(0.1 + 0.2), true),
        ("score = 0.3", score(0.300_001), false),
        ("score = { at_least = 0.2, at_most = 0.4 }", score(0.4), true),
        ("score = { at_most = 0.4 }", score(0.5), false),
        ("score = 0", abstained.clone(), false),
        ("abstains = \"image\"", abstained.clone(), true),
        ("abstains = \"JSON\"", abstained.clone(), false),
        ("abstains = \"\"", malformed.clone(), false),
        ("malformed = \"JSON\"", malformed.clone(), true),
        ("malformed = \"\"", refused.clone(), false),
        ("fails = \"JSON\"", refused.clone(), true),
        ("fails = \"\"", malformed.clone(), false),
        ("fails = \"\"", score(0.0), false),
    ] {
        assert_eq!(wants(text, &outcome), met, "{text} {outcome:?}");
    }
    let problem = ConfigProblem { key: "limit".to_owned(), message: "is no number".to_owned() };
    let refused = ScoreOutcome::Failed(ScorerFailure::BadConfig(vec![problem]));
    assert!(Wanted::Misconfigured("no number").is_met_by(&refused));
    assert!(!Wanted::Misconfigured("phrases").is_met_by(&refused) && !Wanted::Fails("").is_met_by(&refused));
}

#[test]
fn what_is_wrong_is_named() {
    for (text, said) in [
        ("", "no cases"),
        ("[[case]]\nname = \"a\"\nanswer = \"\"", "the case `a` says not what is expected: one of score, abstains"),
        ("[[case]]\nname = \"a\"\nanswer = \"\"\nscore = 1\nabstains = \"\"", "says several things"),
        ("[[case]]\nname = \"a\"\nscore = 1", "the case `a`: answer: the key is missing"),
        ("[[case]]\nname = \"a\"\nanswer = \"\"\nmisconfigured = \"\"", "answer: nobody reads it"),
        ("[[case]]\nname = \" \"\nanswer = \"\"\nscore = 1", "a case's name is empty"),
        (
            "[[case]]\nname = \"a\"\nanswer = \"\"\nscore = 1\n[[case]]\nname = \"a\"\nanswer = \"\"\nscore = 1",
            "`a` is there twice",
        ),
        ("[[case]]\nname = \"a\"\nanswer = \"\"\nscroe = 1", "unknown field `scroe`"),
        ("[[case]]\nname = \"a\"\nanswer = {}\nscore = 1", "one of text and bytes is wanted"),
        ("[[case]]\nname = \"a\"\nanswer = 3\nscore = 1", "a text, or a table as in"),
        ("[[case]]\nname = \"a\"\nanswer = \"\"\nscore = nan", "a score is finite"),
        ("[[case]]\nname = \"a\"\nanswer = \"\"\nscore = {}", "one of at_least and at_most"),
        ("[[case]]\nname = \"a\"\nanswer = \"\"\nscore = { at_least = 2, at_most = 1 }", "no score would do"),
        ("[[case]]\nname = \"a\"\nanswer = \"\"\nscore = \"1\"", "a number, or a table as in"),
        ("[[case", "TOML parse error at line 1"),
    ] {
        let error = Cases::read(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}
