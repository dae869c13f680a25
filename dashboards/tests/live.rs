//! Rules and dashboards on a real Prometheus, under the real load of each exercise.
//!
//! For each exercise, Prometheus runs with the generated rules while the lab drives `buggy` and then `fixed`. Then every
//! query of the dashboards must have data, the exposing signal must tell the two variants apart, and the alert must have
//! fired on one of them alone. Rules, ranges and intervals are those of production; only addresses are others.

mod live {
    pub mod prometheus;
    pub mod run;
}

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use loadtests::{lab, reference};
use target_app::catalogue::Exercise;
use target_app::exercises::EXERCISES;

use live::prometheus;
use live::run::Bench;

fn main() -> ExitCode {
    // The lab starts its servers by this program's own name.
    let servers = [lab::SERVER, reference::SUBCOMMAND];
    if std::env::args().nth(1).is_some_and(|subcommand| servers.contains(&subcommand.as_str())) {
        return loadtests::commands::main();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // As the usual harness does: words are parts of the names of tests, options are for it.
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<&Exercise> = EXERCISES
        .iter()
        .copied()
        .filter(|exercise| words.is_empty() || words.iter().any(|word| exercise.id.contains(*word)))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|exercise| println!("{}: test", exercise.id));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    if !prometheus::is_there() {
        return skip("prometheus is missing; Debian's package prometheus has it");
    }
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime");
    runtime.block_on(async {
        let bench = Bench::open().await;
        let mut unanswered: Option<BTreeSet<String>> = None;
        for exercise in &chosen {
            println!("live {} ...", exercise.id);
            let general = bench.prove(exercise).await;
            // The overview shows all exercises, so a query of it has to have data under one of them.
            unanswered = Some(match unanswered {
                None => general,
                Some(before) => before.intersection(&general).cloned().collect(),
            });
            println!("live {} ... ok", exercise.id);
        }
        bench.close().await;
        if chosen.len() == EXERCISES.len() {
            assert_eq!(unanswered, Some(BTreeSet::new()), "queries without data under any exercise");
        }
    });
    ExitCode::SUCCESS
}

/// Says so, and fails where every tool has to be there.
fn skip(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "SKIPPED live: {why}");
    match std::env::var("STAMPEDE_REQUIRE").as_deref() {
        Ok("all") => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
