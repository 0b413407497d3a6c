//! Numbers and spans of time as people read them, in messages and reports.

/// A number as people read it: at most four digits after the point, no trailing zeros.
#[must_use]
pub fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.0001 {
        return format!("{value:.1e}");
    }
    // Half away from zero, as the breaker's own sentences have it.
    let text = format!("{:.4}", (value * 1e4).round() / 1e4);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A span of nanoseconds as people say it: `850 ms`, `12.5 s`, `3 min 20 s`, `2 h 5 min`.
#[must_use]
pub fn span(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let whole = nanos / SECOND;
    match whole {
        0 => format!("{} ms", number(nanos as f64 / 1e6)),
        1..120 => {
            let text = format!("{:.1}", nanos as f64 / 1e9);
            format!("{} s", text.trim_end_matches(".0"))
        }
        120..7200 if whole.is_multiple_of(60) => format!("{} min", whole / 60),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ if (whole / 60).is_multiple_of(60) => format!("{} h", whole / 3600),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(number(0.5), "0.5");
        assert_eq!(number(2000.0), "2000");
        assert_eq!(number(-0.000_000_1), "-1.0e-7");
        assert_eq!(number(0.123_456), "0.1235");
    }

    #[test]
    fn spans_read_well() {
        for (nanos, text) in [
            (0, "0 ms"),
            (1_500_000, "1.5 ms"),
            (10_000_000_000, "10 s"),
            (12_500_000_000, "12.5 s"),
            (120_000_000_000, "2 min"),
            (200_000_000_000, "3 min 20 s"),
            (7_200_000_000_000, "2 h"),
            (7_500_000_000_000, "2 h 5 min"),
        ] {
            assert_eq!(span(nanos), text);
        }
    }
}
