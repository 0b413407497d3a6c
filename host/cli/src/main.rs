//! The program `softfuse`.

use std::process::ExitCode;

fn main() -> ExitCode {
    softfuse_cli::main()
}
