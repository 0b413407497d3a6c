//! What can be set, with its defaults and ranges.

use softfuse_scorer_common::config::Section;

/// The scorer: its settings, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogprobsScorer {
    /// What is measured.
    pub metric: Metric,
    /// Log-probabilities below count as this.
    pub logprob_min: f64,
    /// The perplexity that scores 0, with the metric of that name.
    pub perplexity_max: f64,
    /// Answers with fewer tokens aren't scored.
    pub tokens_min: usize,
    /// How far from 1 a vector's sum may be.
    pub sum_tolerance: f64,
    /// Whether the tokens of a stream that broke off are scored, or none.
    pub broken_scored: bool,
}

/// What is measured; the crate's table says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The geometric mean of the tokens' probabilities.
    MeanConfidence,
    /// The least likely token's probability.
    WorstToken,
    /// Perplexity on a logarithmic scale.
    Perplexity,
    /// The likeliest alternative's lead over the second.
    Margin,
    /// One minus the normalised entropy of the alternatives.
    Entropy,
}

impl Metric {
    /// By the names of the configuration.
    pub(crate) const NAMES: [(&str, Self); 5] = [
        ("mean_confidence", Self::MeanConfidence),
        ("worst_token", Self::WorstToken),
        ("perplexity", Self::Perplexity),
        ("margin", Self::Margin),
        ("entropy", Self::Entropy),
    ];

    /// Whether it looks at the alternatives of a token.
    pub(crate) fn needs_alternatives(self) -> bool {
        matches!(self, Self::Margin | Self::Entropy)
    }
}

impl LogprobsScorer {
    /// The scorer where nothing is set, without reading a text: each fresh instance is configured.
    pub(crate) const DEFAULT: Self = Self {
        metric: Metric::MeanConfidence,
        logprob_min: -20.0,
        perplexity_max: 100.0,
        tokens_min: 1,
        sum_tolerance: 0.01,
        broken_scored: true,
    };

    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        Self {
            metric: section.word("metric", &Metric::NAMES, Self::DEFAULT.metric),
            logprob_min: section.number("logprob_min", -1000.0..=-1.0, Self::DEFAULT.logprob_min),
            perplexity_max: section.number("perplexity_max", 1.1..=1e6, Self::DEFAULT.perplexity_max),
            tokens_min: section.count("tokens_min", 1..=1_000_000, Self::DEFAULT.tokens_min),
            sum_tolerance: section.number("sum_tolerance", 0.0..=0.5, Self::DEFAULT.sum_tolerance),
            broken_scored: section.word(
                "broken_stream",
                &[("score", true), ("abstain", false)],
                Self::DEFAULT.broken_scored,
            ),
        }
    }
}
