//! argv → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    gitroll::start(gitroll::cli::main)
}
