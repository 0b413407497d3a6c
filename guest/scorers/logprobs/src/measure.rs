//! The metrics over tokens, taken one by one, in constant memory.

use alloc::format;
use alloc::string::String;

use crate::config::{LogprobsScorer, Metric};

/// How far above 0 a log-probability may be: what 16-bit arithmetic makes of a certain token.
const LOGPROB_MAX: f64 = 0.01;

/// The tokens so far.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    /// How many tokens there were.
    pub(crate) tokens: usize,
    /// How many of them had the alternatives that the metric needs.
    pub(crate) measured: usize,
    sum: f64,
    worst: f64,
}

impl Measure {
    pub(crate) fn new() -> Self {
        Self { tokens: 0, measured: 0, sum: 0.0, worst: 0.0 }
    }

    /// Takes a token with its alternatives, none where they didn't come.
    ///
    /// # Errors
    /// What is no log-probability, and why.
    pub(crate) fn take(
        &mut self,
        scorer: &LogprobsScorer,
        logprob: f64,
        alternatives: impl Iterator<Item = f64> + Clone,
    ) -> Result<(), String> {
        let logprob = checked(logprob, scorer)?;
        let alternatives = alternatives.map(|alternative| checked(alternative, scorer));
        if let Some(Err(error)) = alternatives.clone().find(Result::is_err) {
            return Err(error);
        }
        let alternatives = alternatives.filter_map(Result::ok).map(libm::exp);
        let value = match scorer.metric {
            Metric::MeanConfidence | Metric::WorstToken | Metric::Perplexity => Some(logprob),
            Metric::Margin => margin(alternatives),
            Metric::Entropy => certainty(alternatives),
        };
        self.tokens += 1;
        self.worst = self.worst.min(logprob);
        if let Some(value) = value {
            self.measured += 1;
            self.sum += value;
        }
        Ok(())
    }

    /// The score; none where no token could be measured.
    pub(crate) fn score(&self, scorer: &LogprobsScorer) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)] // answers are shorter than 2^52 tokens
        let mean = (self.measured > 0).then(|| self.sum / self.measured as f64)?;
        let score = match scorer.metric {
            Metric::MeanConfidence => libm::exp(mean),
            Metric::WorstToken => libm::exp(self.worst),
            Metric::Perplexity => on_the_scale(-mean, scorer),
            Metric::Margin | Metric::Entropy => mean,
        };
        Some(score.clamp(0.0, 1.0))
    }
}

/// Perplexity on a logarithmic scale: 1 scores 1, `perplexity_max` and above 0.
pub(crate) fn on_the_scale(ln_perplexity: f64, scorer: &LogprobsScorer) -> f64 {
    (1.0 - ln_perplexity / libm::log(scorer.perplexity_max)).clamp(0.0, 1.0)
}

/// The lead of the largest probability over the second, none where there are fewer than two.
pub(crate) fn margin(probabilities: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut first, mut second, mut count) = (0.0, 0.0, 0_usize);
    for probability in probabilities {
        count += 1;
        if probability > first {
            (first, second) = (probability, first);
        } else if probability > second {
            second = probability;
        }
    }
    (count >= 2).then_some(first - second)
}

/// One minus the normalised entropy of some probabilities, made to sum to 1; none where there are fewer than two.
pub(crate) fn certainty(probabilities: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = probabilities.clone().count();
    let sum: f64 = probabilities.clone().sum();
    if count < 2 || sum <= 0.0 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)] // a list's length
    let largest = libm::log(count as f64);
    Some((1.0 - entropy(probabilities.map(|probability| probability / sum)) / largest).clamp(0.0, 1.0))
}

/// Shannon's entropy, in nats.
pub(crate) fn entropy(probabilities: impl Iterator<Item = f64>) -> f64 {
    probabilities
        .filter(|probability| *probability > 0.0)
        .map(|probability| -probability * libm::log(probability))
        .sum()
}

fn checked(logprob: f64, scorer: &LogprobsScorer) -> Result<f64, String> {
    if logprob.is_nan() || logprob > LOGPROB_MAX {
        return Err(format!("{logprob} is no log-probability, which is at most 0: the natural logarithm of 0 to 1"));
    }
    Ok(logprob.clamp(scorer.logprob_min, 0.0))
}
