//! Two kinds of failure, told apart by the exit code: what was read is wrong (1), or it could not be done at all (2).

use std::fmt;
use std::io;
use std::process::ExitCode;

/// What was read is wrong: a policy, a line of a trace, a component. It ends the program with [`PROBLEMS`].
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

/// The exit code where problems were found.
pub(crate) const PROBLEMS: u8 = 1;
/// The exit code for wrong usage, and for files that can't be read or written. clap uses the same.
pub(crate) const IMPOSSIBLE: u8 = 2;

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// An error that says what is wrong with what was read.
pub(crate) fn wrong(message: impl Into<String>) -> anyhow::Error {
    Wrong(message.into()).into()
}

/// Tells the user of an error, and picks the exit code. Where nobody reads the output any more, nothing is said: the
/// reader has what it wanted.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    // There is nowhere left to complain to if this fails.
    let _ = crate::output::error(&format!("{error:#}"));
    ExitCode::from(if error.chain().any(|cause| cause.is::<Wrong>()) { PROBLEMS } else { IMPOSSIBLE })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind)
                == Some(io::ErrorKind::BrokenPipe)
    })
}
