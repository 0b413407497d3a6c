//! What can be set, with its defaults and ranges.

use softfuse_scorer_common::config::Section;

use crate::refusal::Refusals;
use crate::repetition::Limits;

/// The scorer: its settings, and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct TextScorer {
    /// What each failed check costs.
    pub penalties: Penalties,
    /// When an answer must be JSON.
    pub json: JsonWanted,
    /// Whether JSON within a Markdown fence passes.
    pub json_fenced: bool,
    /// How many characters that aren't white space an answer has at least.
    pub characters_min: usize,
    /// What counts as truncated.
    pub truncated_by: TruncatedBy,
    /// What counts as repetition.
    pub repetition: Limits,
    /// What counts as a refusal.
    pub refusals: Refusals,
}

/// What each failed check takes off the score, from 0 (the check is off) to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalties {
    /// The answer is empty.
    pub empty: f64,
    /// It is cut off.
    pub truncated: f64,
    /// It repeats itself; graded.
    pub repetition: f64,
    /// It refuses.
    pub refusal: f64,
    /// It should be JSON and isn't.
    pub json: f64,
}

impl Penalties {
    const DEFAULT: Self = Self { empty: 1.0, truncated: 0.5, repetition: 1.0, refusal: 0.8, json: 1.0 };

    /// The largest that can be.
    #[must_use]
    pub fn max(&self) -> f64 {
        [self.empty, self.truncated, self.repetition, self.refusal, self.json].into_iter().fold(0.0, f64::max)
    }
}

/// When an answer must be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonWanted {
    /// Where the request's `response_format` says so, or the answer's content type where the body itself is the answer.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What counts as truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // four switches of a configuration
pub struct TruncatedBy {
    /// The service stopped at its token limit and says so.
    pub finish_reason: bool,
    /// A stream broke off, or ended without `[DONE]`.
    pub broken_stream: bool,
    /// The host cut the body at its own bound.
    pub cut_body: bool,
    /// The text doesn't end as a sentence or a block does.
    pub sentence_end: bool,
}

impl TruncatedBy {
    const DEFAULT: Self = Self { finish_reason: true, broken_stream: true, cut_body: false, sentence_end: false };
}

impl TextScorer {
    /// The scorer where nothing is set, without reading a text: each fresh instance is configured.
    pub(crate) const DEFAULT: Self = Self {
        penalties: Penalties::DEFAULT,
        json: JsonWanted::Auto,
        json_fenced: false,
        characters_min: 1,
        truncated_by: TruncatedBy::DEFAULT,
        repetition: Limits::DEFAULT,
        refusals: Refusals::DEFAULT,
    };

    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        Self {
            penalties: section.section("penalty", |penalty| Penalties {
                empty: penalty.number("empty", 0.0..=1.0, Penalties::DEFAULT.empty),
                truncated: penalty.number("truncated", 0.0..=1.0, Penalties::DEFAULT.truncated),
                repetition: penalty.number("repetition", 0.0..=1.0, Penalties::DEFAULT.repetition),
                refusal: penalty.number("refusal", 0.0..=1.0, Penalties::DEFAULT.refusal),
                json: penalty.number("json", 0.0..=1.0, Penalties::DEFAULT.json),
            }),
            json: section.word(
                "json",
                &[("auto", JsonWanted::Auto), ("always", JsonWanted::Always), ("never", JsonWanted::Never)],
                Self::DEFAULT.json,
            ),
            json_fenced: section.flag("json_fenced", Self::DEFAULT.json_fenced),
            characters_min: section
                .section("empty", |empty| empty.count("characters_min", 1..=1_000_000, Self::DEFAULT.characters_min)),
            truncated_by: section.section("truncated", |truncated| TruncatedBy {
                finish_reason: truncated.flag("finish_reason", TruncatedBy::DEFAULT.finish_reason),
                broken_stream: truncated.flag("broken_stream", TruncatedBy::DEFAULT.broken_stream),
                cut_body: truncated.flag("cut_body", TruncatedBy::DEFAULT.cut_body),
                sentence_end: truncated.flag("sentence_end", TruncatedBy::DEFAULT.sentence_end),
            }),
            repetition: section.section("repetition", Limits::read),
            refusals: section.section("refusal", Refusals::read),
        }
    }
}
