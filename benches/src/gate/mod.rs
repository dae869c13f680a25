//! x
pub mod decision;
pub mod stats;
use std::process::ExitCode;
/// Options.
#[derive(Debug, clap::Args)]
pub struct Args {}
/// Runs.
pub fn run(_: Args) -> ExitCode {
    ExitCode::FAILURE
}
