//! Reads a trace's calls, in the order in which they began.

use std::path::Path;

use crate::call::{self, Call, Parsed};
use crate::error::{Error, Fault, LineError, LineProblem};
use crate::mapping::{Field, Mapping, Unused};
use crate::order::Order;
use crate::source::{Line, Source};

/// A trace that is being read.
///
/// It takes constant memory: a line of at most [`LINE_BYTES_MAX`](crate::LINE_BYTES_MAX), and calls of at most
/// [`REORDERED_LINES_MAX`](crate::REORDERED_LINES_MAX) lines and [`REORDERED_BYTES_MAX`](crate::REORDERED_BYTES_MAX) that
/// are held back until it is their turn.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    mapping: Mapping,
    buffer: Vec<u8>,
    order: Order,
    dated: bool,
    ended: bool,
}

impl Reader {
    /// Opens a file, or standard input where the path is `-`.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn open(path: &Path, mapping: Mapping) -> Result<Self, Error> {
        Ok(Self::new(Source::open(path)?, mapping))
    }

    /// Reads lines from a source.
    #[must_use]
    pub fn new(source: Source, mapping: Mapping) -> Self {
        Self { source, mapping, buffer: Vec::new(), order: Order::default(), dated: false, ended: false }
    }

    /// The next call, in the order of their beginnings; none at the end. `score` is asked for the score of a line that has
    /// none.
    ///
    /// # Errors
    /// Where a line is bad; the next call reads on behind it. Where the file can't be read on; what was held back comes
    /// then, and the end.
    pub fn next(&mut self, score: &mut dyn FnMut(&Parsed<'_>) -> Option<f64>) -> Result<Option<Call>, Error> {
        loop {
            if let Some(call) = self.order.due() {
                return Ok(Some(call));
            }
            if self.ended {
                return Ok(self.order.pop());
            }
            match self.source.next(&mut self.buffer) {
                Ok(Line::End) => self.ended = true,
                Ok(Line::TooLong) => return Err(self.bad(Fault::TooLong)),
                Ok(Line::Read) => self.take(score)?,
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
    }

    /// Takes the call of the line in the buffer; an empty line has none.
    fn take(&mut self, score: &mut dyn FnMut(&Parsed<'_>) -> Option<f64>) -> Result<(), Error> {
        if self.buffer.trim_ascii().is_empty() {
            return Ok(());
        }
        match call::parse(&self.buffer, self.source.line(), &mut self.mapping) {
            Err(problem) => Err(self.bad(problem)),
            Ok(mut parsed) => {
                self.dated |= parsed.dated;
                parsed.call.score = parsed.call.score.or_else(|| score(&parsed));
                let pushed = self.order.push(parsed.call);
                pushed.map_err(|nanos| self.bad(LineProblem::of(Field::At, Fault::Disorder(nanos))))
            }
        }
    }

    fn bad(&self, problem: impl Into<LineProblem>) -> Error {
        let (trace, line) = (self.source.name().to_owned(), self.source.line());
        LineError { trace, line, problem: problem.into() }.into()
    }

    /// Where the lines come from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether any time was written as a date.
    #[must_use]
    pub fn is_dated(&self) -> bool {
        self.dated
    }

    /// What in the mapping has found nothing so far.
    pub fn unused_mappings(&self) -> impl Iterator<Item = Unused> {
        self.mapping.unused()
    }

    /// How many calls are held back, and about how many bytes they take.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        self.order.held()
    }
}
