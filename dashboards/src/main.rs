//! Writes the generated files, or checks that those on disk are fresh.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use dashboards::docs::Docs;
use dashboards::figures::Results;

/// Generates dashboards, rules, their tests and the tables of the documentation from the catalogue.
#[derive(Debug, Parser)]
struct Arguments {
    /// Write nothing; exit with 1 and name the files that are stale, missing or stray
    #[arg(long)]
    check: bool,

    /// Write the tables of figures in docs/exercises from this run instead, such as target/stampede/latest/results.json
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    results: Option<PathBuf>,

    /// Root of the project that the files belong to [default: the one that this was built from]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Address at which the folder `docs` is published, such as https://example.org/stampede/docs
    ///
    /// Links from alerts and dashboards to runbooks and exercises begin with it. Without it they are paths in the project,
    /// as they are committed. Give --check the same address as the files were generated with.
    #[arg(long, value_name = "URL", value_parser = Docs::published)]
    docs_url: Option<Docs>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { check, results, out, docs_url } = Arguments::parse();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace");
    let root = out.clone().unwrap_or_else(|| project.to_path_buf());
    if let Some(results) = results {
        for path in Results::read(&results)?.parts().write(&root)? {
            println!("wrote {}", path.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let docs = docs_url.unwrap_or_default();
    let files = dashboards::generate_with(&docs);
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
        let to = out.map(|folder| format!(" --out {}", folder.display()));
        let with = match docs {
            Docs::Local => None,
            Docs::Published(url) => Some(format!(" --docs-url {url}")),
        };
        let options: String = [to, with].into_iter().flatten().collect();
        let separator = if options.is_empty() { "" } else { " --" };
        eprintln!("\nhint: cargo run -p dashboards{separator}{options}");
    }
    Ok(ExitCode::FAILURE)
}
