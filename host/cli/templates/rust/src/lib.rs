//! Scores answers by how many words they have: a beginning, to be replaced by your own idea of a good answer.

use std::cell::Cell;

wit_bindgen::generate!({ path: "wit", world: "answer-scorer" });

use exports::softfuse::scorer::scorer::{ConfigProblem, Exchange, Guest, ScoreError, Verdict};

/// Words of a whole answer, where the configuration says nothing else.
const WORDS_DEFAULT: u32 = 20;

thread_local! {
    static WORDS: Cell<u32> = const { Cell::new(WORDS_DEFAULT) };
}

struct Scorer;

export!(Scorer);

impl Guest for Scorer {
    fn configure(config: String) -> Result<(), Vec<ConfigProblem>> {
        let words = match config.trim() {
            "" => Some(WORDS_DEFAULT),
            text => text.parse().ok().filter(|words| *words > 0),
        };
        let Some(words) = words else {
            let message = format!("`{}` is none: a number of words is wanted, as in 20", config.trim());
            return Err(vec![ConfigProblem { key: String::new(), message }]);
        };
        WORDS.set(words);
        Ok(())
    }

    fn score(exchange: Exchange) -> Result<Verdict, ScoreError> {
        let kind = &exchange.answer.content_type;
        if !kind.is_empty() && !kind.starts_with("text/") {
            return Ok(Verdict::Abstain(format!("an answer of the type {kind} has no words")));
        }
        let words = String::from_utf8_lossy(&exchange.answer.bytes).split_whitespace().count();
        Ok(Verdict::Score((words as f64 / f64::from(WORDS.get())).min(1.0)))
    }
}
