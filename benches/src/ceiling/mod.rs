//! To be written.

use std::process::ExitCode;

/// Options.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs.
pub fn run(_: Args) -> ExitCode {
    ExitCode::FAILURE
}
