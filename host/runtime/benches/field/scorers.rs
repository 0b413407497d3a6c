//! A scorer's run: reused, and in an instance of its own each time; beside the same scorer's code without a sandbox.

use std::fmt::Write as _;
use std::hint::black_box;
use std::rc::Rc;

use softfuse::{Builtin, CacheDir, Engine, Exchange, Scorer, ScorerSettings};
use softfuse_scorer_common as native;

use crate::Run;

/// An answer's bytes.
const ANSWER_BYTES: usize = 2048;

/// A text as people write them. One that goes round would be given up on at its first loop.
const PROSE: &str = include_str!("prose.txt");

/// An answer of 2 KiB that the scorer reads to its end, and a score that says that it did.
fn answer(builtin: Builtin) -> Exchange {
    let (content_type, begin, end) = match builtin {
        Builtin::Text => ("text/plain", PROSE.to_owned(), ""),
        Builtin::Logprobs => {
            let begin = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Paris"},"logprobs":{"content":["#;
            ("application/json", begin.to_owned(), r#"{"token":".","logprob":-0.1}]},"finish_reason":"stop"}]}"#)
        }
        Builtin::Embedding => {
            let begin = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":["#;
            ("application/json", begin.to_owned(), "0.25]}]}")
        }
    };
    let mut text = begin;
    for number in 0_u32.. {
        let mut item = String::new();
        let share = f64::from(number % 97 + 1) / 97.0;
        match builtin {
            Builtin::Text => {}
            Builtin::Logprobs => write!(item, r#"{{"token":"word","logprob":{:.6}}},"#, -share).unwrap(),
            Builtin::Embedding => write!(item, "{:.8},", share - 0.5).unwrap(),
        }
        if item.is_empty() || text.len() + item.len() + end.len() > ANSWER_BYTES {
            break;
        }
        text.push_str(&item);
    }
    Exchange::of_answer(content_type, text + end)
}

/// The scorer's own code, as a part of this program.
fn native(builtin: Builtin, exchange: &Exchange) -> Box<dyn Fn() -> Option<f64>> {
    fn run<S: native::Scorer + 'static>(exchange: native::Exchange) -> Box<dyn Fn() -> Option<f64>> {
        let scorer = Rc::new(S::configure("").unwrap());
        Box::new(move || match scorer.score(black_box(&exchange)) {
            Ok(native::Verdict::Score(score)) => Some(score),
            _ => None,
        })
    }
    let content_type = exchange.answer.content_type.clone();
    let answer = native::Body { content_type, bytes: exchange.answer.bytes.clone(), truncated: false };
    let exchange = native::Exchange { answer, ..native::Exchange::default() };
    match builtin {
        Builtin::Text => run::<softfuse_scorer_text::TextScorer>(exchange),
        Builtin::Logprobs => run::<softfuse_scorer_logprobs::LogprobsScorer>(exchange),
        Builtin::Embedding => run::<softfuse_scorer_embedding::EmbeddingScorer>(exchange),
    }
}

pub(crate) fn measure(run: &mut Run) {
    if !run.wants("scorer") {
        return;
    }
    let engine = Engine::new(CacheDir::Default).unwrap();
    let mut group = run.criterion.benchmark_group("scorer-2KiB");
    let unread = Exchange::of_answer("text/plain", PROSE);
    for builtin in Builtin::ALL {
        let read = answer(builtin);
        assert!(
            (ANSWER_BYTES - 64..=ANSWER_BYTES + 1).contains(&read.answer.bytes.len()),
            "{}",
            read.answer.bytes.len()
        );
        let alone = native(builtin, &read);
        assert!(alone().is_some(), "{}", builtin.name());
        group.bench_function(format!("{}-native", builtin.name()), |bencher| bencher.iter(|| black_box(alone())));
        for fresh in [false, true] {
            let settings = ScorerSettings { fresh, ..ScorerSettings::default() };
            let scorer = Scorer::builtin(&engine, builtin, settings).unwrap();
            let name = format!("{}-{}", builtin.name(), if fresh { "fresh" } else { "reused" });
            assert!(scorer.score(&read).score().is_some(), "{name}: {:?}", scorer.score(&read));
            group.bench_function(&name, |bencher| bencher.iter(|| black_box(scorer.score(&read))));
            if builtin == Builtin::Embedding {
                // What a call costs by itself: a text is none of this scorer's business.
                group.bench_function(format!("unread-{name}"), |bencher| {
                    bencher.iter(|| black_box(scorer.score(&unread)))
                });
            }
        }
    }
    group.finish();
}
