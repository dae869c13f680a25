//! The reference backend as a server of its own.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    target_app::server::run(target_app::config::Config::parse())
}
