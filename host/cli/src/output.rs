//! Writing to the terminal: colours where they are wanted, JSON, and messages on standard error.

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

pub(crate) use softfuse_trace::words::{number, span};

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

/// A part of a whole as a percentage; empty wholes have none.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
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
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(0, 0), "-");
    }
}
