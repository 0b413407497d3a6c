//! What can be set, with its defaults and ranges.

use alloc::format;
use alloc::vec::Vec;

use softfuse_scorer_common::config::Section;

use crate::checks::unit;

/// The largest dimension that a setting may name.
const DIMENSION_MAX: usize = 65_536;

/// The scorer: its settings, and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingScorer {
    /// How many numbers a vector has; none where any will do.
    pub dimension: Option<usize>,
    /// The expected norm, none where it isn't checked.
    pub norm: Option<Norm>,
    /// The reference, none where drift isn't checked.
    pub drift: Option<Drift>,
    /// When an answer's vectors are too much alike, none where that isn't checked.
    pub collapse: Option<Collapse>,
}

/// How long a vector should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// The Euclidean norm, above 0.
    pub expected: f64,
    /// The relative shift that is fine.
    pub tolerance: f64,
    /// The relative shift that scores 0.
    pub shift_max: f64,
}

/// Where vectors should point.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The reference, of length 1.
    pub reference: Vec<f64>,
    /// The mean cosine from which on all is fine.
    pub cosine_good: f64,
    /// The mean cosine that scores 0.
    pub cosine_bad: f64,
}

/// When vectors are too much alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Collapse {
    /// Answers with fewer vectors aren't checked.
    pub vectors_min: usize,
    /// The mean pairwise cosine up to which all is fine.
    pub cosine_good: f64,
    /// The mean pairwise cosine that scores 0.
    pub cosine_bad: f64,
}

impl EmbeddingScorer {
    /// The scorer where nothing is set, without reading a text: each fresh instance is configured.
    pub(crate) const DEFAULT: Self =
        Self { dimension: None, norm: None, drift: None, collapse: Some(Collapse::DEFAULT) };

    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let dimension = section.optional_count("dimension", 1..=DIMENSION_MAX);
        let norm = section.section("norm", Norm::read);
        let drift = section.section("drift", |drift| Drift::read(drift, dimension));
        let collapse = section.section("collapse", Collapse::read);
        Self { dimension, norm, drift, collapse }
    }
}

impl Norm {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let expected = section.optional_number("expected", 1e-6..=1e6);
        let tolerance = section.number("tolerance", 0.0..=1000.0, 0.05);
        let shift_max = section.number("shift_max", 0.0..=1000.0, 0.5);
        if tolerance >= shift_max {
            section
                .problem("tolerance", &format!("is {tolerance}; it must be less than shift_max, which is {shift_max}"));
        }
        expected.map(|expected| Self { expected, tolerance, shift_max })
    }
}

impl Drift {
    fn read(section: &mut Section<'_>, dimension: Option<usize>) -> Option<Self> {
        let reference = section.numbers("reference", 1..=DIMENSION_MAX);
        let cosine_good = section.number("cosine_good", -1.0..=1.0, 0.5);
        let cosine_bad = section.number("cosine_bad", -1.0..=1.0, 0.0);
        if cosine_bad >= cosine_good {
            let message = format!("is {cosine_bad}; it must be less than cosine_good, which is {cosine_good}");
            section.problem("cosine_bad", &message);
        }
        let reference = reference?;
        if let Some(dimension) = dimension
            && dimension != reference.len()
        {
            let message = format!("has {} numbers; dimension says {dimension}", reference.len());
            section.problem("reference", &message);
        }
        let unit = unit(&reference).map(|(_, unit)| unit);
        if unit.is_none() {
            section.problem("reference", "has the length 0, so it points nowhere; it must have a number that isn't 0");
        }
        Some(Self { reference: unit?, cosine_good, cosine_bad })
    }
}

impl Collapse {
    const DEFAULT: Self = Self { vectors_min: 3, cosine_good: 0.95, cosine_bad: 0.99 };

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let check = section.flag("check", true);
        let collapse = Self {
            vectors_min: section.count("vectors_min", 2..=1_000_000, Self::DEFAULT.vectors_min),
            cosine_good: section.number("cosine_good", -1.0..=1.0, Self::DEFAULT.cosine_good),
            cosine_bad: section.number("cosine_bad", -1.0..=1.0, Self::DEFAULT.cosine_bad),
        };
        if collapse.cosine_good >= collapse.cosine_bad {
            let Self { cosine_good, cosine_bad, .. } = collapse;
            let message = format!("is {cosine_good}; it must be less than cosine_bad, which is {cosine_bad}");
            section.problem("cosine_good", &message);
        }
        check.then_some(collapse)
    }
}
