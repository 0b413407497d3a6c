//! The metrics over softmax vectors.

use alloc::format;
use alloc::string::String;

use crate::config::{LogprobsScorer, Metric};
use crate::measure::{certainty, entropy, margin, on_the_scale};

/// The mean score of some vectors, of which there is at least one.
///
/// # Errors
/// Which vector is no distribution, and why.
pub(crate) fn score(vectors: &[alloc::vec::Vec<f64>], scorer: &LogprobsScorer) -> Result<f64, String> {
    let mut sum = 0.0;
    for (row, vector) in vectors.iter().enumerate() {
        check(vector, scorer).map_err(|error| format!("vector {row}: {error}"))?;
        sum += of_one(vector, scorer);
    }
    #[allow(clippy::cast_precision_loss)] // a list's length
    let mean = sum / vectors.len() as f64;
    Ok(mean.clamp(0.0, 1.0))
}

fn of_one(vector: &[f64], scorer: &LogprobsScorer) -> f64 {
    let all = || vector.iter().copied();
    match scorer.metric {
        Metric::MeanConfidence | Metric::WorstToken => all().fold(0.0, f64::max),
        Metric::Perplexity => on_the_scale(entropy(all()), scorer),
        Metric::Margin => margin(all()).unwrap_or_default(),
        Metric::Entropy => certainty(all()).unwrap_or_default(),
    }
}

fn check(vector: &[f64], scorer: &LogprobsScorer) -> Result<(), String> {
    if vector.len() < 2 {
        return Err(format!("it has {} probabilities; a distribution has two or more", vector.len()));
    }
    if let Some((at, wrong)) = vector.iter().enumerate().find(|(_, number)| !number.is_finite() || **number < 0.0) {
        return Err(format!("entry {at} is {wrong}; a probability is from 0 to 1"));
    }
    let sum: f64 = vector.iter().sum();
    if (sum - 1.0).abs() > scorer.sum_tolerance {
        return Err(format!(
            "its sum is {sum}; it must be 1, give or take {} (are these logits?)",
            scorer.sum_tolerance
        ));
    }
    Ok(())
}
