//! Instructions that the pure pieces of the hot path execute, counted by callgrind: the same on a busy machine as on an
//! idle one.
//!
//! Needs valgrind, and `gungraun-runner` of exactly the library's version. Where one is missing, nothing is counted.

use std::process::{Command, ExitCode};

use benches::pieces::{Work, work};
use benches::runner::{Decision, decide};

/// What gungraun itself starts. Its `main` is a module's own, so that ours can look first at what is installed.
mod counted {
    use super::{Work, work};
    use gungraun::{library_benchmark, library_benchmark_group};

    #[library_benchmark]
    #[bench::schedule(work("schedule"))]
    #[bench::recorder(work("recorder"))]
    #[bench::money_total(work("money-total"))]
    #[bench::money_to_text(work("money-to-text"))]
    #[bench::money_to_json(work("money-to-json"))]
    #[bench::money_from_json(work("money-from-json"))]
    #[bench::statement_counted(work("statement-counted"))]
    #[bench::statement_ignored(work("statement-ignored"))]
    fn piece(mut work: Work) -> Work {
        work();
        // Dropping what was prepared is not part of the piece.
        work
    }

    library_benchmark_group!(name = pieces, benchmarks = piece);
    gungraun::main!(library_benchmark_groups = pieces);

    pub fn run() {
        main();
    }
}

fn main() -> ExitCode {
    let first = std::env::args().nth(1);
    if first.as_deref() == Some("--gungraun-run") {
        counted::run();
        return ExitCode::SUCCESS;
    }
    // `cargo test --benches` starts benchmarks too, without this option. The pieces have a test of their own.
    if !std::env::args().any(|option| option == "--bench") {
        return ExitCode::SUCCESS;
    }
    // Where the library looks for it.
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or("gungraun-runner");
    let required = std::env::var("STAMPEDE_REQUIRE").as_deref() == Ok("all");
    match decide(runner, version(runner).as_deref(), version("valgrind").as_deref(), required) {
        Decision::Count => {
            counted::run();
            ExitCode::SUCCESS
        }
        Decision::Skip(why) => {
            eprintln!("{why}");
            ExitCode::SUCCESS
        }
        Decision::Fail(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// What a program says of its version, if it starts.
fn version(program: &str) -> Option<String> {
    let output =
        Command::new(program).arg("--version").output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
