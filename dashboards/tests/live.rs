//! Rules and dashboards on a real Prometheus, under the real load of each exercise.
//!
//! For each exercise of the tour, and in CI for each of all, Prometheus runs with the generated rules while the lab drives `buggy` and then `fixed`. Then every
//! query of the dashboards must have data, the exposing signal must tell the two variants apart, and the alert must have
//! fired on one of them alone. Rules, ranges and intervals are those of production; only addresses are others.

mod live {
    pub mod prometheus;
    pub mod run;
}

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use loadtests::{lab, providers, reference};
use target_app::catalogue::Exercise;
use target_app::exercises::{EXERCISES, TOUR};

use live::prometheus;
use live::run::Bench;

fn main() -> ExitCode {
    // The lab starts its servers by this program's own name.
    let servers = [lab::SERVER, reference::SUBCOMMAND, providers::SUBCOMMAND];
    if std::env::args().nth(1).is_some_and(|subcommand| servers.contains(&subcommand.as_str())) {
        return loadtests::commands::main();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // As the usual harness does: words are parts of the names of tests, options are for it.
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let has_all = requires_all();
    let chosen: Vec<&Exercise> = match words[..] {
        // Each takes a third of a minute, which CI has.
        [] if !has_all => TOUR.to_vec(),
        [] => EXERCISES.to_vec(),
        _ => {
            let named = |exercise: &&Exercise| words.iter().any(|word| exercise.id.contains(*word));
            EXERCISES.iter().copied().filter(named).collect()
        }
    };
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
    if words.is_empty() && !has_all {
        let (some, all) = (chosen.len(), EXERCISES.len());
        println!("live: {some} of {all} exercises; name others, or set STAMPEDE_REQUIRE=all for all of them");
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
        if words.is_empty() {
            assert_eq!(
                unanswered,
                Some(BTreeSet::new()),
                "queries without data under any of these exercises"
            );
        }
    });
    ExitCode::SUCCESS
}

/// Whether every test has to run, as in CI.
fn requires_all() -> bool {
    std::env::var("STAMPEDE_REQUIRE").is_ok_and(|required| required == "all")
}

/// Says so, and fails where every tool has to be there.
fn skip(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "SKIPPED live: {why}");
    if requires_all() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
