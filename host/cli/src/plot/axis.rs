//! Ticks that people like: round numbers, whole minutes, and powers of ten on a logarithmic axis.

/// How a value becomes a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// The axis runs over the logarithm to the base of ten.
    Log,
}

impl Scale {
    /// The height of a value.
    pub(crate) fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    /// The value of a height.
    pub(crate) fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log => 10_f64.powf(place),
        }
    }
}

/// Most ticks of an axis.
const TICKS_MAX: usize = 50;

/// Round values between two, about `count` of them.
pub(crate) fn round(least: f64, most: f64, count: usize) -> Vec<f64> {
    let rough = (most - least) / count.max(1) as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return vec![least];
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    multiples(least, most, step.unwrap_or(rough))
}

/// 1, 2, 5, 10, ... between two positive values.
pub(crate) fn decades(least: f64, most: f64) -> Vec<f64> {
    let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let factors: &[f64] = if to - from > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let ticks = (from..=to).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
    ticks.filter(|tick| (least..=most).contains(tick)).take(TICKS_MAX).collect()
}

/// Seconds between two at which a clock would be labelled, about `count` of them.
pub(crate) fn clock(least: f64, most: f64, count: usize) -> Vec<f64> {
    const STEPS: [f64; 14] =
        [10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0];
    let rough = (most - least) / count.max(1) as f64;
    if !(5.0..=86_400.0).contains(&rough) {
        return round(least, most, count);
    }
    let step = STEPS.into_iter().find(|step| *step >= rough).unwrap_or(rough);
    multiples(least, most, step)
}

fn multiples(least: f64, most: f64, step: f64) -> Vec<f64> {
    let first = (least / step).ceil();
    (0..TICKS_MAX).map(|index| (first + index as f64) * step).take_while(|tick| *tick <= most + step * 1e-9).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(round(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.600_000_000_000_000_1, 0.8, 1.0]);
        assert_eq!(clock(0.0, 424.0, 8), [0.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0]);
        assert_eq!(decades(60.0, 3_000.0), [100.0, 200.0, 500.0, 1_000.0, 2_000.0]);
        assert_eq!(decades(0.5, 200_000.0), [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]);
        assert_eq!(round(3.0, 3.0, 5), [3.0]);
        assert!(round(f64::NAN, 1.0, 5).len() <= 1);
        assert!(clock(0.0, 1e12, 8).len() <= 50);
    }
}
