//! The `stampede` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadtests::commands::main()
}
