//! What can be wrong with a trace, as data: which line, which field, what was found, and what would be right.

use std::fmt;
use std::io;

use crate::mapping::{Field, Paths};
use crate::order::REORDERED_LINES_MAX;
use crate::source::LINE_BYTES_MAX;
use crate::words;

/// Why a trace can't be read, or not be read on.
#[derive(Debug)]
pub enum Error {
    /// It can't be opened, or nothing can be read of it.
    Open {
        /// The trace's name.
        name: String,
        /// The reason.
        source: io::Error,
    },
    /// It broke off: the file can't be read on, or isn't compressed as its first bytes say.
    Read {
        /// The trace's name.
        name: String,
        /// The last line that was read, from 1; 0 before the first.
        line: u64,
        /// The reason.
        source: io::Error,
    },
    /// A line is bad. The next call reads on behind it.
    Line(Box<LineError>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { name, .. } => write!(f, "can't read the trace {name}"),
            Self::Read { name, line, .. } => write!(f, "can't read {name} on after line {line}"),
            Self::Line(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { source, .. } | Self::Read { source, .. } => Some(source),
            Self::Line(_) => None,
        }
    }
}

impl From<LineError> for Error {
    fn from(error: LineError) -> Self {
        Self::Line(Box::new(error))
    }
}

/// A bad line: where it is, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The trace's name.
    pub trace: String,
    /// From 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: LineProblem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProblem {
    /// From 1, in bytes; none where a field or the line as a whole is meant.
    pub column: Option<usize>,
    /// The field; none where the line is none.
    pub field: Option<Field>,
    /// Where the field was found, where that isn't its own name.
    pub path: Option<String>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a field or a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The line is no JSON object, as the parser says.
    NoObject(String),
    /// The line has more than [`LINE_BYTES_MAX`] bytes.
    TooLong,
    /// The field is missing. Where a mapping says where it should be: there.
    Missing(Option<Paths>),
    /// Something else is there.
    Unexpected {
        /// What would be right.
        expected: String,
        /// The beginning of what was found.
        found: String,
    },
    /// There is more of something than a line may have.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The call ends before it begins.
    EndsBeforeBeginning,
    /// The call began so many nanoseconds before one that was handed out already.
    Disorder(u64),
}

impl From<Fault> for LineProblem {
    fn from(fault: Fault) -> Self {
        Self { column: None, field: None, path: None, fault }
    }
}

impl LineProblem {
    pub(crate) fn of(field: Field, fault: Fault) -> Self {
        Self { field: Some(field), ..fault.into() }
    }

    /// Of a field that was found at a path.
    pub(crate) fn at(field: Field, path: &str, fault: Fault) -> Self {
        let path = (path != field.name()).then(|| path.to_owned());
        Self { path, ..Self::of(field, fault) }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.trace, self.line)?;
        if let Some(column) = self.problem.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for LineError {}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.field, &self.path) {
            (Some(field), Some(path)) => write!(f, "{} ({path}): ", field.name())?,
            (Some(field), None) => write!(f, "{}: ", field.name())?,
            (None, _) => {}
        }
        match (&self.fault, self.field) {
            // Here the advice needs the field's name.
            (Fault::Missing(None), Some(field)) => {
                let name = field.name();
                write!(f, "the field is missing (a log with other names is read by --map {name}=PATH)")
            }
            (fault, _) => fault.fmt(f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject(text) => write!(f, "this is no JSON object: {text}"),
            Self::TooLong => write!(f, "the line is longer than {LINE_BYTES_MAX} bytes, the most that is read"),
            Self::Missing(None) => f.write_str("the field is missing"),
            Self::Missing(Some(paths)) => write!(f, "the line has no {paths}"),
            Self::Unexpected { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::TooMany { what, found, most } => write!(f, "{found} {what}, and a call may have {most}"),
            Self::EndsBeforeBeginning => f.write_str("the call ends before it begins"),
            Self::Disorder(nanos) => write!(
                f,
                "the call began {} before one that was replayed already: lines may be out of order by \
                 {REORDERED_LINES_MAX} lines, not more; sort the trace by the time when the calls began",
                words::span(*nanos)
            ),
        }
    }
}
