//! How far the lab is from what the machine can do: the fixed checkout against `pgbench` with the same SQL, and the load
//! generator against others.
//!
//! Everything is measured in turn, forwards and back again, so that a machine that slows down or speeds up does so for
//! all: only ratios within a round are compared.
//!
//! - `plan`: who is measured when, and ratios with their spread
//! - `checkout`: the fixed checkout, in process, over HTTP and as a `pgbench` script
//! - `generators`: the load generators, each behind the same few functions
//! - `bare`: the server that they load, and plain goose, as processes of their own
//! - `tool`: other people's programs: finding them, running them
//! - `report`: the result as JSON, as Markdown and as tables

mod bare;
mod checkout;
mod generators;
mod plan;
mod report;
mod results;
mod tool;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use loadtests::hint::Hinted;
use loadtests::lab::database_hint;
use loadtests::load::Cancel;
use scratch_postgres::PostgresError;

use crate::gate::report::save;

use report::Ceiling;
use tool::{Named, Tools};

/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// What to measure, and how long.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// A minute instead of a quarter of an hour: enough to see that it works, too little to believe the numbers
    #[arg(long)]
    quick: bool,

    /// Measure one part only
    #[arg(long, value_name = "PART")]
    only: Option<Part>,

    /// Rounds; in each, everything is measured twice
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,

    /// Directory for ceiling.json and ceiling.md
    #[arg(long, value_name = "DIR", default_value = "target/stampede/ceiling")]
    out: PathBuf,

    /// Where a tool is that is not in PATH, such as k6=./k6; may be repeated
    #[arg(long = "tool", value_name = "NAME=PATH", value_parser = tool::named)]
    tools: Vec<Named>,

    #[command(subcommand)]
    role: Option<bare::Role>,
}

/// A part of the ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The fixed checkout against pgbench
    Checkout,
    /// The load generator against others
    Generator,
}

/// How long and how often everything is measured.
#[derive(Debug, Clone, Copy)]
struct Pace {
    rounds: u32,
    /// Of one measurement. Whole seconds: most tools take nothing else.
    seconds: u32,
    /// Factor between two rates when the highest is searched.
    step: f64,
}

impl Pace {
    fn new(args: &Args) -> Self {
        let pace = if args.quick {
            Self { rounds: 1, seconds: 1, step: 2.0 }
        } else {
            Self { rounds: 5, seconds: 4, step: 2_f64.powf(0.25) }
        };
        Self { rounds: args.rounds.unwrap_or(pace.rounds), ..pace }
    }

    fn duration(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

/// Measures, prints the tables and writes the files. 0 when all was measured, whatever the ratios; 1 when something
/// failed; 130 after Ctrl-C.
pub fn run(args: Args) -> ExitCode {
    // Everything below may be written to a reader who has left; that is no reason to panic.
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: could not start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = match args.role {
        Some(role) => runtime.block_on(role.play()).map(|()| ExitCode::SUCCESS),
        None => runtime.block_on(measure(args)),
    };
    done.unwrap_or_else(|error| {
        // Whatever a load or a child says about its sudden end, this is why.
        if Cancel::on_ctrl_c().is_raised() {
            let _ =
                writeln!(std::io::stderr(), "interrupted; the part that was under way is not in the files");
            return ExitCode::from(INTERRUPTED);
        }
        let mut text = format!("error: {error:#}");
        let hint = (error.downcast_ref::<Hinted>().map(|hinted| hinted.hint.clone()))
            .or_else(|| error.downcast_ref::<PostgresError>().map(database_hint));
        if let Some(hint) = hint {
            text.push_str(&format!("\n\nhint: {hint}"));
        }
        let _ = writeln!(std::io::stderr(), "{text}");
        ExitCode::FAILURE
    })
}

async fn measure(args: Args) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&args.out).with_context(|| unwritable(&args.out))?;
    // Better now than when everything has been measured.
    tempfile::tempfile_in(&args.out).with_context(|| unwritable(&args.out))?;
    let pace = Pace::new(&args);
    let tools = Tools::new(args.tools.clone());
    let mut ceiling = Ceiling::new(pace, args.quick);
    if args.only != Some(Part::Generator) {
        ceiling.checkout = Some(checkout::measure(pace, &tools, &args.out).await?);
        // What took minutes is kept, whatever becomes of the rest.
        write(&ceiling, &args.out)?;
    }
    if args.only != Some(Part::Checkout) {
        ceiling.generator = Some(unless_interrupted(generators::measure(pace, &tools)).await?);
        write(&ceiling, &args.out)?;
    }
    let mut out = std::io::stdout();
    let _ = write!(out, "{}\nwritten to {}\n", ceiling.terminal(), args.out.display());
    Ok(ExitCode::SUCCESS)
}

fn write(ceiling: &Ceiling, out: &Path) -> anyhow::Result<()> {
    for (name, text) in [("ceiling.json", ceiling.json()?), ("ceiling.md", ceiling.markdown())] {
        save(&out.join(name), &text).context(unwritable(&out.join(name)))?;
    }
    Ok(())
}

fn unwritable(path: &Path) -> Hinted {
    Hinted::new(format!("could not write {}", path.display()), "choose another directory with --out")
}

/// Goes on until Ctrl-C; then whatever the future had started ends, as it is dropped.
async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let interrupt = Cancel::on_ctrl_c();
    tokio::select! {
        done = work => done,
        () = interrupt.raised() => anyhow::bail!("interrupted"),
    }
}

/// A bar on a terminal, and elsewhere a line.
fn progress(what: &str, steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}, about {eta} left");
        bar.set_style(style.expect("the template is valid"));
    } else {
        let _ = writeln!(std::io::stderr(), "{what}: {steps} steps");
    }
    bar.with_prefix(what.to_owned())
}
