//! The program `softfuse` once more, since cargo builds for a test no other package's programs.

use std::process::ExitCode;

fn main() -> ExitCode {
    softfuse_cli::main()
}
