//! Writes the generated files, or checks that those on disk are fresh.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// Generates dashboards, rules, their tests and the table of metrics from the catalogue.
#[derive(Debug, Parser)]
struct Arguments {
    /// Write nothing; exit with 1 and name the files that are stale, missing or stray
    #[arg(long)]
    check: bool,

    /// Root of the project that the files belong to [default: the one that this was built from]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { check, out } = Arguments::parse();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace");
    let root = out.unwrap_or_else(|| project.to_path_buf());
    let files = dashboards::generate();
    if !check {
        for path in files.write(&root)? {
            println!("wrote {}", path.display());
        }
    }
    let differences = files.differences(&root)?;
    for difference in &differences {
        eprintln!("{difference}");
    }
    if differences.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if check {
        eprintln!("\nhint: cargo run -p dashboards");
    }
    Ok(ExitCode::FAILURE)
}
