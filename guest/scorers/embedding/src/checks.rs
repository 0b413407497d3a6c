//! The checks, as pure functions of vectors.

use alloc::vec;
use alloc::vec::Vec;

use crate::config::{Collapse, Drift, EmbeddingScorer, Norm};

/// The score of an answer's vectors: that of the worst check.
pub(crate) fn score(scorer: &EmbeddingScorer, vectors: &[Vec<f64>]) -> f64 {
    let Some(dimension) = vectors.first().map(Vec::len) else { return 0.0 };
    let expected = scorer.dimension.or(scorer.drift.as_ref().map(|drift| drift.reference.len()));
    if expected.is_some_and(|expected| expected != dimension) {
        return 0.0;
    }
    let mut norm_score = 1.0_f64;
    let mut cosines = 0.0;
    let mut sum = vec![0.0; dimension];
    for vector in vectors.iter() {
        // Vectors of one answer that differ in dimension are never right.
        let Some((norm, unit)) = (vector.len() == dimension).then(|| unit(vector)).flatten() else { return 0.0 };
        norm_score = norm_score.min(scorer.norm.map_or(1.0, |limits| limits.score(norm)));
        cosines += scorer.drift.as_ref().map_or(0.0, |drift| dot(&drift.reference, &unit));
        sum.iter_mut().zip(&unit).for_each(|(sum, coordinate)| *sum += coordinate);
    }
    #[allow(clippy::cast_precision_loss)] // a list's length
    let count = vectors.len() as f64;
    let drift_score = scorer.drift.as_ref().map_or(1.0, |drift| drift.score(cosines / count));
    let enough = scorer.collapse.filter(|collapse| vectors.len() >= collapse.vectors_min);
    let collapse_score = enough.map_or(1.0, |collapse| {
        let pairwise = (dot(&sum, &sum) - count) / (count * (count - 1.0));
        collapse.score(pairwise)
    });
    norm_score.min(drift_score).min(collapse_score)
}

impl Norm {
    fn score(&self, norm: f64) -> f64 {
        slope((norm / self.expected - 1.0).abs(), self.shift_max, self.tolerance)
    }
}

impl Drift {
    fn score(&self, cosine: f64) -> f64 {
        slope(cosine, self.cosine_bad, self.cosine_good)
    }
}

impl Collapse {
    fn score(&self, cosine: f64) -> f64 {
        slope(cosine, self.cosine_bad, self.cosine_good)
    }
}

/// 0 at `bad` and beyond, 1 at `good` and beyond, linear in between; which of the two is larger doesn't matter.
fn slope(value: f64, bad: f64, good: f64) -> f64 {
    ((value - bad) / (good - bad)).clamp(0.0, 1.0)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A vector's norm and its direction; none where it is empty, zero, NaN or infinite. It is scaled by its largest number
/// first, so that no square overflows or vanishes.
pub(crate) fn unit(vector: &[f64]) -> Option<(f64, Vec<f64>)> {
    let largest = vector.iter().fold(0.0, |largest: f64, number| largest.max(number.abs()));
    if largest == 0.0 || !vector.iter().all(|number| number.is_finite()) {
        return None;
    }
    let mut unit: Vec<f64> = vector.iter().map(|number| number / largest).collect();
    let length = libm::sqrt(dot(&unit, &unit));
    unit.iter_mut().for_each(|number| *number /= length);
    Some((largest * length, unit))
}
