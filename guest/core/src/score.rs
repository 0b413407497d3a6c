//! Scores, quantised at the boundary so that all arithmetic on them is exact.
//!
//! A sum of `f64`s depends on its order and drifts: `quality_below(0.7, 20)` would trip on a constant 0.7. Integers in
//! units of 10^-9 don't, and give the same decisions in every language.

use core::fmt;

/// The largest magnitude that a score may have.
pub const SCORE_MAX: f64 = 1e6;

/// How many units make 1.
const UNITS: f64 = 1e9;

/// The largest magnitude in units.
pub(crate) const UNITS_MAX: i64 = 1_000_000_000_000_000;

/// A score in units of 10^-9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Score(i64);

/// A number that is no score: NaN, infinite, or over [`SCORE_MAX`] in magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvalidScore(pub f64);

impl Score {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Quantises a number: `floor(score * 10^9 + 0.5)`.
    ///
    /// # Errors
    /// [`InvalidScore`] for NaN, infinities, and magnitudes over [`SCORE_MAX`].
    pub fn quantise(score: f64) -> Result<Self, InvalidScore> {
        // NaN fails this comparison too.
        if !(-SCORE_MAX..=SCORE_MAX).contains(&score) {
            return Err(InvalidScore(score));
        }
        let shifted = score * UNITS + 0.5;
        // `as` truncates towards zero, and `floor` needs std.
        let truncated = shifted as i64;
        let floor = if truncated as f64 > shifted { truncated - 1 } else { truncated };
        Ok(Self(floor.clamp(-UNITS_MAX, UNITS_MAX)))
    }

    /// A score from its units; none where they are over 10^15 in magnitude.
    pub const fn from_units(units: i64) -> Option<Self> {
        if units.unsigned_abs() <= UNITS_MAX as u64 { Some(Self(units)) } else { None }
    }

    /// The score in units of 10^-9.
    pub const fn units(self) -> i64 {
        self.0
    }

    /// The score as a number.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / UNITS
    }

    /// The mean of scores whose units sum up to `sum`, as a number.
    pub(crate) fn mean(sum: i128, count: u32) -> f64 {
        sum as f64 / (f64::from(count) * UNITS)
    }
}

impl fmt::Display for InvalidScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the score {} is not a finite number between -{SCORE_MAX} and {SCORE_MAX}", self.0)
    }
}

impl core::error::Error for InvalidScore {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_the_nearest_unit_upwards_on_ties() {
        for (score, units) in [
            (0.7, 700_000_000),
            (-0.7, -700_000_000),
            (1e-9, 1),
            (-1e-9, -1),
            (0.4e-9, 0),
            (-0.4e-9, 0),
            (1.0 / 3.0, 333_333_333),
            (1e6, UNITS_MAX),
            (-1e6, -UNITS_MAX),
        ] {
            assert_eq!(Score::quantise(score).map(Score::units), Ok(units), "{score}");
        }
    }

    #[test]
    fn refuses_what_is_no_score() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1_000_000.1, -1e300] {
            assert!(Score::quantise(bad).is_err(), "{bad}");
        }
        assert_eq!(Score::from_units(UNITS_MAX + 1), None);
        assert_eq!(Score::from_units(i64::MIN), None);
    }
}
