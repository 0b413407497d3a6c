//! Reads traces: JSON lines of any number, in the order in which the calls began, in constant memory.

mod call;
mod fields;
mod mapping;
mod order;
mod source;
mod value;

use std::path::Path;

use crate::fail::wrong;
use crate::output;

pub(crate) use call::{Call, Exchange, Parsed};
pub(crate) use fields::Fields;
pub(crate) use mapping::{MapArg, Mapping};
pub(crate) use source::{LINE_BYTES_MAX, Line, Source};

use call::LineProblem;
use order::{Order, REORDERED_LINES_MAX};

/// How many bad lines are shown where they are skipped.
const BAD_LINES_SHOWN_MAX: u64 = 5;

/// A trace that is being read.
pub(crate) struct Trace {
    source: Source,
    mapping: Mapping,
    buffer: Vec<u8>,
    order: Order,
    skip_bad_lines: bool,
    bad_lines: u64,
    dated: bool,
    ended: bool,
}

impl Trace {
    /// Opens a trace.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub(crate) fn open(path: &Path, map: &[MapArg], skip_bad_lines: bool) -> anyhow::Result<Self> {
        Ok(Self {
            source: Source::open(path)?,
            mapping: Mapping::new(map),
            buffer: Vec::new(),
            order: Order::default(),
            skip_bad_lines,
            bad_lines: 0,
            dated: false,
            ended: false,
        })
    }

    /// The next call, in the order of their beginnings. `score` is asked for the score of a line that has none.
    ///
    /// # Errors
    /// Where the file can't be read on, or a line is bad and bad lines aren't skipped.
    pub(crate) fn next(&mut self, score: &mut dyn FnMut(&Parsed<'_>) -> Option<f64>) -> anyhow::Result<Option<Call>> {
        while !self.ended {
            match self.source.next(&mut self.buffer)? {
                Line::End => self.ended = true,
                Line::TooLong => {
                    let message = format!("the line is longer than {LINE_BYTES_MAX} bytes, the most that is read");
                    self.bad(LineProblem { column: 0, field: String::new(), message })?;
                }
                Line::Read if self.buffer.trim_ascii().is_empty() => {}
                Line::Read => match call::parse(&self.buffer, self.source.line(), &mut self.mapping) {
                    Err(problem) => self.bad(problem)?,
                    Ok(mut parsed) => {
                        self.dated |= parsed.dated;
                        parsed.call.score = parsed.call.score.or_else(|| score(&parsed));
                        match self.order.push(parsed.call) {
                            Ok(None) => {}
                            Ok(Some(call)) => return Ok(Some(call)),
                            Err(nanos) => self.bad(disorder(nanos))?,
                        }
                    }
                },
            }
        }
        Ok(self.order.pop())
    }

    fn bad(&mut self, problem: LineProblem) -> anyhow::Result<()> {
        let mut text = format!("{}:{}", self.source.name(), self.source.line());
        if problem.column > 0 {
            text.push_str(&format!(":{}", problem.column));
        }
        if !problem.field.is_empty() {
            text.push_str(&format!(": {}", problem.field));
        }
        text.push_str(&format!(": {}", problem.message));
        if !self.skip_bad_lines {
            return Err(wrong(text));
        }
        self.bad_lines += 1;
        match self.bad_lines {
            ..=BAD_LINES_SHOWN_MAX => output::warning(&format!("{text}; the line is skipped"))?,
            count if count == BAD_LINES_SHOWN_MAX + 1 => output::warning("more bad lines follow; they are counted")?,
            _ => {}
        }
        Ok(())
    }

    /// The file.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// How many lines were skipped as bad.
    pub(crate) fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// Whether any time was written as a date.
    pub(crate) fn is_dated(&self) -> bool {
        self.dated
    }

    /// What in the mapping found nothing in the whole trace, in words.
    pub(crate) fn unused_mappings(&self) -> Vec<String> {
        let unused = self.mapping.never_found();
        unused.map(|(field, rule)| format!("no line has {rule}, which `{}` is mapped to", field.name())).collect()
    }
}

fn disorder(nanos: u64) -> LineProblem {
    let message = format!(
        "the call began {} before one that was replayed already: lines may be out of order by {REORDERED_LINES_MAX} \
         lines, not more; sort the trace by the time when the calls began",
        output::span(nanos)
    );
    LineProblem { column: 0, field: mapping::Field::At.name().to_owned(), message }
}

#[cfg(test)]
mod tests;
