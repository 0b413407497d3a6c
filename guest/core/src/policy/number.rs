//! Exact reading of spans of time: `"1.5s"` is 1,500,000,000 ns, without a detour through floating point.

use crate::time::{MILLISECOND, MINUTE, Nanos, SECOND};

/// Units, longest names first, so that `ms` isn't read as `m`.
const UNITS: [(&str, Nanos); 7] = [
    ("ms", MILLISECOND),
    ("us", 1_000),
    ("ns", 1),
    ("s", SECOND),
    ("m", MINUTE),
    ("h", 60 * MINUTE),
    ("d", 1440 * MINUTE),
];

/// Reads a span such as `60s`, `1.5s`, `250ms` or `1m30s`. None where it is none, or is over `u64` nanoseconds.
pub(super) fn span(text: &str) -> Option<Nanos> {
    let mut rest = text.trim();
    let mut total: Nanos = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let (name, unit) = UNITS.iter().find(|(name, _)| tail.starts_with(name))?;
        total = total.checked_add(scaled(number, *unit)?)?;
        rest = tail[name.len()..].trim_start();
    }
    (!text.trim().is_empty()).then_some(total)
}

/// A plain decimal number times `unit`; digits beyond a nanosecond are refused, since they could not be kept.
pub(super) fn scaled(number: &str, unit: Nanos) -> Option<Nanos> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<Nanos>().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.trim_end_matches('0').bytes() {
        // Trailing zeros are gone, so whatever is below a nanosecond would be lost.
        if !digit.is_ascii_digit() || !place.is_multiple_of(10) {
            return None;
        }
        place /= 10;
        total = total.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spans_exactly() {
        for (text, nanos) in [
            ("60s", 60 * SECOND),
            ("1.5s", 1_500 * MILLISECOND),
            ("0.1s", 100 * MILLISECOND),
            (".25m", 15 * SECOND),
            ("1m30s", 90 * SECOND),
            ("1h 5m", 65 * MINUTE),
            ("250ms", 250 * MILLISECOND),
            ("7us", 7_000),
            ("0.000000001s", 1),
            ("2d", 2880 * MINUTE),
            ("0s", 0),
        ] {
            assert_eq!(span(text), Some(nanos), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_span() {
        for text in
            ["", " ", "s", "5", "-5s", "5 parsecs", "1.2.3s", ".s", "0.0000000001s", "99999999999999999999s", "1e3s"]
        {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
