//! Runs a scorer over the recorded trace; the scorers' own tests take this file in by its path.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use softfuse_scorer_common::{Body, Exchange, Head, Scorer, Verdict};

/// An answer's phase in the trace (`healthy`, `degraded`, `recovered`) and its score.
pub(crate) type Scored = (String, f64);

/// The scores of all answers of the trace, in order.
///
/// # Panics
/// The trace can't be read, or one of its answers gets no score: it has a text and log-probabilities throughout.
#[must_use]
pub(crate) fn scores<S: Scorer>(config: &str) -> Vec<Scored> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/traces/smollm2.jsonl");
    let trace = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let Ok(scorer) = S::configure(config).map(Rc::new) else { panic!("a bad configuration: {config}") };
    let mut scores = Vec::new();
    for (line, text) in (1..).zip(trace.lines()) {
        let row: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("line {line}: {error}"));
        let body = |name: &str| Body {
            content_type: "application/json".into(),
            bytes: row[name].to_string().into_bytes(),
            truncated: false,
        };
        let head = Head { operation: "chat".into(), request: body("request"), ..Head::default() };
        match scorer.score(&Exchange { head, answer: body("response") }) {
            Ok(Verdict::Score(score)) => scores.push((row["phase"].as_str().expect("a phase").to_owned(), score)),
            other => panic!("line {line}: {other:?}"),
        }
    }
    scores
}

/// The mean score of each phase, which is printed as well.
#[must_use]
pub(crate) fn means(name: &str, scores: &[Scored]) -> BTreeMap<String, f64> {
    let mut phases: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (phase, score) in scores {
        phases.entry(phase.clone()).or_default().push(*score);
    }
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    let means = phases.iter().map(|(phase, scores)| (phase.clone(), mean(scores))).collect();
    println!("{name}: {means:.4?}");
    means
}
