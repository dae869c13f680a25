//! What the benchmarks are for: a regression gate, its own error rates, and how far the fixed variants are from what
//! the machine can do.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A regression gate for criterion benchmarks, and the ceiling that the lab measures itself against.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare two revisions of a project by its benchmarks, and fail on a slowdown
    Gate(benches::gate::Args),
    /// Measure the gate's own error rates on this machine
    SelfTest(benches::self_test::Args),
    /// Compare the fixed checkout with pgbench, and the load generator with others
    Ceiling(benches::ceiling::Args),
    /// Draw how the times of the exercises' variants grow with the data
    Growth(benches::growth::Args),
    /// The server under test, which the lab starts as a process of its own
    #[command(name = loadtests::lab::SERVER, hide = true)]
    Server(target_app::config::Config),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Gate(args) => benches::gate::run(args),
        Command::SelfTest(args) => benches::self_test::run(args),
        Command::Ceiling(args) => benches::ceiling::run(args),
        Command::Growth(args) => benches::growth::run(args),
        Command::Server(config) => target_app::server::run(config),
    }
}
