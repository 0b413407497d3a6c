//! One thing wrong with a policy's text: where, which key, and what would be right.

use alloc::string::String;
use core::fmt;

/// One thing wrong with a policy's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The key with its path, as in `trip_on.any_of[1].quality_below.window`; empty where the text isn't TOML.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// For an unknown key: the nearest that exists.
    pub nearest: Option<String>,
}

impl Problem {
    /// A problem at a byte offset of the text.
    pub(crate) fn at(text: &str, offset: usize, key: String, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        // A policy is at most POLICY_BYTES_MAX long.
        Self { line: line as u32, column: column as u32, key, message, nearest: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Problem {}
