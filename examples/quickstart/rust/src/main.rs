//! The quickstart, the same program in every language: a model's answers get worse, the circuit opens, and closes again.
//! `cargo run -p softfuse-quickstart`

use std::sync::{Arc, OnceLock};
use std::thread::sleep;

use anyhow::Result;
use softfuse::{CallError, Event, FallbackCause, Registry, State};

/// Pretends to be a model: an answer, and how good it is.
fn model(good: bool) -> (String, f64) {
    if good { ("Paris is the capital of France.".into(), 0.9) } else { ("Paris Paris Paris Paris".into(), 0.2) }
}

fn main() -> Result<()> {
    let policy_file = std::env::args().nth(1);
    let registry = Registry::new()?;
    let policy = registry.policy_file(policy_file.as_deref().unwrap_or("examples/policies/quickstart.toml"))?;
    registry.on_event(|event| {
        if let Event::StateChanged { change, .. } = event {
            // As in `closed -> open: the mean quality of 5 scores is 0.48, below 0.6`.
            println!("{} -> {}: {}", change.old, change.new, change.reason);
        }
    });

    let breaker = registry.breaker("chat", &policy)?;
    let retry_after = Arc::new(OnceLock::new());
    let refused_for = Arc::clone(&retry_after);
    let chat = breaker.guard().fallback(move |cause| match cause {
        FallbackCause::Rejected(refused) => {
            println!("refused: {}, trip {}", refused.state, refused.trip_count);
            let _ = refused_for.set(refused.retry_after().unwrap_or_default());
            Ok(String::from("(cached answer)"))
        }
        FallbackCause::Tripped(error) => Err(CallError::Failed(error)),
        FallbackCause::BadAnswer(_) => Ok(String::from("(cached answer)")),
    });
    let mut number = 0;
    let mut ask = |good| -> Result<()> {
        number += 1;
        let answer = chat.call(|permit| {
            let (answer, score) = model(good); // Ask your model here: no lock is held meanwhile.
            permit.report_quality(score).map(|()| answer)
        })?;
        println!("answer {number}: {answer}");
        Ok(())
    };

    for _ in 0..8 {
        ask(true)?;
    }
    while retry_after.get().is_none() {
        ask(false)?;
    }
    sleep(retry_after.get().copied().unwrap_or_default());
    while breaker.state() != State::Closed {
        ask(true)?;
    }
    Ok(())
}
