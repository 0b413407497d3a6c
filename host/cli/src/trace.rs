//! A trace as the commands read it: bad lines end the program, or are counted where the user says so.

use std::path::Path;

use softfuse_trace::{Call, Error, MapArg, Mapping, Parsed, Reader, Source};

use crate::fail::wrong;
use crate::output;

/// How many bad lines are shown where they are skipped.
const BAD_LINES_SHOWN_MAX: u64 = 5;

/// A trace that is being read.
pub(crate) struct Trace {
    reader: Reader,
    skip_bad_lines: bool,
    bad_lines: u64,
}

impl Trace {
    /// Opens a trace.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub(crate) fn open(path: &Path, map: &[MapArg], skip_bad_lines: bool) -> anyhow::Result<Self> {
        Ok(Self { reader: Reader::open(path, Mapping::new(map))?, skip_bad_lines, bad_lines: 0 })
    }

    /// The next call, in the order of their beginnings. `score` is asked for the score of a line that has none.
    ///
    /// # Errors
    /// Where the file can't be read on, or a line is bad and bad lines aren't skipped.
    pub(crate) fn next(&mut self, score: &mut dyn FnMut(&Parsed<'_>) -> Option<f64>) -> anyhow::Result<Option<Call>> {
        loop {
            match self.reader.next(score) {
                Ok(call) => return Ok(call),
                Err(Error::Line(bad)) if self.skip_bad_lines => self.skip(&bad.to_string())?,
                Err(Error::Line(bad)) => return Err(wrong(bad.to_string())),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn skip(&mut self, bad: &str) -> anyhow::Result<()> {
        self.bad_lines += 1;
        match self.bad_lines {
            ..=BAD_LINES_SHOWN_MAX => output::warning(&format!("{bad}; the line is skipped"))?,
            count if count == BAD_LINES_SHOWN_MAX + 1 => output::warning("more bad lines follow; they are counted")?,
            _ => {}
        }
        Ok(())
    }

    /// The file.
    pub(crate) fn source(&self) -> &Source {
        self.reader.source()
    }

    /// How many lines were skipped as bad.
    pub(crate) fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// Whether any time was written as a date.
    pub(crate) fn is_dated(&self) -> bool {
        self.reader.is_dated()
    }

    /// What in the mapping found nothing in the whole trace, in words.
    pub(crate) fn unused_mappings(&self) -> impl Iterator<Item = String> {
        self.reader.unused_mappings().map(|unused| unused.to_string())
    }
}
