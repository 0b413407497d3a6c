//! Writing to the terminal: colours where they are wanted, JSON, and messages on standard error.

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

/// Headings.
pub(crate) const BOLD: Style = Style::new().bold();
/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What wants attention.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// What is said by the way.
pub(crate) const DIM: Style = Style::new().dimmed();

/// Says what went wrong.
pub(crate) fn error(message: &str) -> io::Result<()> {
    writeln!(anstream::stderr(), "{BAD}error{BAD:#}: {message}")
}

/// Says what may surprise.
pub(crate) fn warning(message: &str) -> io::Result<()> {
    writeln!(anstream::stderr(), "{WARN}warning{WARN:#}: {message}")
}

/// Writes a document for other programs, with a line feed at its end.
///
/// # Errors
/// Where standard output can't be written to.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// A count with its digits in groups of three: `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number as people read it: at most four digits after the point, no trailing zeros.
pub(crate) fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.0001 {
        return format!("{value:.1e}");
    }
    // Half away from zero, as the breaker's own sentences have it.
    let text = format!("{:.4}", (value * 1e4).round() / 1e4);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A part of a whole as a percentage; empty wholes have none.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
}

/// A span of nanoseconds as people say it: `850 ms`, `12.5 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn span(nanos: u64) -> String {
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
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(number(0.5), "0.5");
        assert_eq!(number(2000.0), "2000");
        assert_eq!(number(-0.000_000_1), "-1.0e-7");
        assert_eq!(number(0.123_456), "0.1235");
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(0, 0), "-");
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
