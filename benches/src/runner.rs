//! Whether the benchmark `instructions` can count here.

/// The version of the library, which a runner must have too.
pub const VERSION: &str = "0.20.0";

/// What the benchmark does, with the reason where it does not count.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// It counts.
    Count,
    /// It counts nothing, and that is no failure.
    Skip(String),
    /// It counts nothing where everything must run.
    Fail(String),
}

/// Decides by what the two programs said when they were asked for their version: nothing, where they do not start.
/// `runner` is where the library looks for its runner; `required` is whether everything must run.
pub fn decide(
    runner: &str,
    runner_says: Option<&str>,
    valgrind_says: Option<&str>,
    required: bool,
) -> Decision {
    match missing(runner, runner_says, valgrind_says) {
        None => Decision::Count,
        Some(missing) if required => Decision::Fail(format!(
            "the instruction counts could not be taken, and STAMPEDE_REQUIRE=all: {missing}"
        )),
        Some(missing) => Decision::Skip(format!("SKIPPED the instruction counts: {missing}")),
    }
}

/// Why nothing can be counted, and what to do.
fn missing(runner: &str, runner_says: Option<&str>, valgrind_says: Option<&str>) -> Option<String> {
    let install = install();
    match runner_says {
        None => Some(format!("{runner} does not start; install it with `{install}`")),
        Some(says) if says.split_whitespace().last() != Some(VERSION) => {
            Some(format!("{runner} is {:?}, not {VERSION}; install it with `{install}`", says.trim()))
        }
        Some(_) if valgrind_says.is_none() => {
            Some("valgrind does not start; install your system's package of it".into())
        }
        Some(_) => None,
    }
}

fn install() -> String {
    format!("cargo install gungraun-runner --version {VERSION} --locked")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the workspace.
    fn read(path: &str) -> String {
        std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn it_counts_with_valgrind_and_the_runner_of_the_librarys_version_alone() {
        let right = format!("gungraun-runner {VERSION}\n");
        let valgrind = Some("valgrind-3.19.0\n");
        assert_eq!(decide("runner", Some(&right), valgrind, true), Decision::Count);

        for (runner_says, valgrind_says, named) in [
            (None, valgrind, "runner does not start"),
            (Some("gungraun-runner 0.19.1\n"), valgrind, r#"runner is "gungraun-runner 0.19.1", not"#),
            // A program of another kind, or one that says nothing.
            (Some(""), valgrind, r#"runner is "", not"#),
            (Some(&*right), None, "valgrind does not start"),
        ] {
            let Decision::Skip(said) = decide("runner", runner_says, valgrind_says, false) else {
                panic!("{runner_says:?} {valgrind_says:?} must not count");
            };
            assert!(said.starts_with("SKIPPED the instruction counts: ") && said.contains(named), "{said}");
            assert_eq!(said.contains(&install()), valgrind_says.is_some(), "{said}");

            let Decision::Fail(said) = decide("runner", runner_says, valgrind_says, true) else {
                panic!("{runner_says:?} {valgrind_says:?} must fail where everything must run");
            };
            assert!(said.contains("STAMPEDE_REQUIRE=all") && said.contains(named), "{said}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_locked_library_and_of_the_page() {
        let locked = format!("name = \"gungraun\"\nversion = \"{VERSION}\"\n");
        assert!(read("Cargo.lock").contains(&locked), "Cargo.lock has another gungraun than {VERSION}");
        assert!(
            read("docs/benchmarks.md").contains(&install()),
            "docs/benchmarks.md does not say {}",
            install()
        );
    }
}
