//! A scorer's run: reused, and in an instance of its own each time.

use std::fmt::Write as _;
use std::hint::black_box;

use softfuse::{Builtin, CacheDir, Engine, Exchange, Scorer, ScorerSettings};

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
