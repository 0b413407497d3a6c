//! What holds for every answer, generated from noise to nearly right.

use proptest::prelude::{Strategy, any, prop, prop_oneof};
use softfuse_scorer_common::{AnswerStream as _, Body, End, Exchange, Head, Scorer as _, StreamScorer as _, Verdict};

use super::{chat, chunk, scorer};

/// Answers from noise to nearly right.
fn answers() -> impl Strategy<Value = (String, Vec<u8>)> {
    let text = prop_oneof![
        "\\PC{0,80}",
        "(\\{\"choices\":|\\[|\\]|\\{|\\}|\"message\":|\"content\":|\"delta\":|null|,|\"a\"|data: |\n|NaN|\\[DONE\\]){0,12}",
        "[a-c ]{0,300}",
        "\\PC{0,40}".prop_map(|content| chat(&content, "stop")),
        "\\PC{0,40}".prop_map(|content| chunk(&content)),
    ]
    .prop_map(String::into_bytes);
    let bytes = prop_oneof![4 => text, 1 => prop::collection::vec(any::<u8>(), 0..100)];
    ("|text/plain|application/json|text/event-stream|image/png", bytes)
}

proptest::proptest! {
    #[test]
    fn no_answer_panics_and_scores_are_from_0_to_1(
        (content_type, bytes) in answers(),
        request in answers(),
        config in prop::sample::select(vec![
            "",
            "json = \"always\"",
            "[penalty]\nrepetition = 0.1",
            "[truncated]\nsentence_end = true",
        ]),
        truncated in any::<bool>(),
    ) {
        let head = Head { request: Body { bytes: request.1, ..Body::default() }, ..Head::default() };
        let exchange = Exchange { head, answer: Body { content_type, bytes, truncated } };
        if let Ok(Verdict::Score(score)) = scorer(config).score(&exchange) {
            proptest::prop_assert!((0.0..=1.0).contains(&score), "{}", score);
        }
    }

    #[test]
    fn pieces_get_the_score_of_the_whole((content_type, bytes) in answers(), size in 1_usize..20) {
        let scorer = scorer("[repetition]\nloop_words = 4\nrun_characters = 20");
        let whole = scorer.score(&Exchange {
            head: Head::default(),
            answer: Body { content_type: content_type.clone(), bytes: bytes.clone(), truncated: false },
        });
        let mut stream = scorer.begin(&Head::default(), &content_type);
        let mut early = None;
        for piece in bytes.chunks(size) {
            early = stream.push(piece).transpose();
            if early.is_some() {
                break;
            }
        }
        let stopped = matches!(early, Some(Ok(_)));
        let pieces = early.unwrap_or_else(|| stream.finish(End::Complete));
        // A loop is seen before what is wrong behind it.
        proptest::prop_assert!(pieces == whole || (stopped && whole.is_err()), "{:?} {:?}", pieces, whole);
    }
}
