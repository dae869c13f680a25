//! The second witness: how many instructions an iteration executes, counted by valgrind.
//!
//! Criterion chooses the number of iterations by the clock, so one run's total says little. Two runs of different
//! length have the same start, the same samples and the same end; what they differ in is iterations, and how many those
//! were is in `sample.json`. The difference of the totals divided by that of the iterations is the cost of one.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::criterion::{self, Executable, Sample};
use super::decision::Instructions;

/// Criterion takes ten samples at least.
const SAMPLES: u32 = 10;

/// So short that the warm-up and each sample are one iteration.
const SHORT: Duration = Duration::from_nanos(1);

/// Valgrind is some fifty times slower than the processor, so the first is few iterations, but for most benchmarks enough
/// to outweigh what the two runs differ in besides. The second is for those whose iterations are longer.
const LONG: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(8)];

/// A valgrind that was seen to work.
#[derive(Debug)]
pub struct Valgrind {
    /// What it calls itself, with its version.
    pub version: String,
}

impl Valgrind {
    /// Tries it on this very program. The error says why there is no second witness.
    pub fn find() -> anyhow::Result<Self> {
        let version =
            criterion::finish(Command::new("valgrind").arg("--version")).context("valgrind does not run")?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let tried = criterion::finish(callgrind().arg("true"))
            .with_context(|| format!("{version} does not run callgrind"))?;
        total(&String::from_utf8_lossy(&tried.stderr))
            .with_context(|| format!("{version} prints no count that is understood"))?;
        Ok(Valgrind { version })
    }

    /// Instructions an iteration of one benchmark on both sides. `scratch` is a directory that exists.
    pub fn count(
        &self,
        base: &Executable,
        head: &Executable,
        id: &str,
        scratch: &Path,
    ) -> anyhow::Result<Instructions> {
        Ok(Instructions {
            base: per_iteration(base, id, scratch)?,
            base_again: per_iteration(base, id, scratch)?,
            head: per_iteration(head, id, scratch)?,
        })
    }
}

fn callgrind() -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command
}

fn per_iteration(executable: &Executable, id: &str, scratch: &Path) -> anyhow::Result<f64> {
    let (few, short) = run(executable, id, SHORT, scratch)?;
    for measurement in LONG {
        let (many, long) = run(executable, id, measurement, scratch)?;
        if many >= 2.0 * few {
            ensure!(long >= short, "more iterations took fewer instructions");
            return Ok((long - short) / (many - few));
        }
    }
    // With so few more, what the runs differ in besides would count as work.
    bail!("its iterations are too long, or the benchmark sets its own times")
}

/// Iterations and instructions of one run.
fn run(
    executable: &Executable,
    id: &str,
    measurement: Duration,
    scratch: &Path,
) -> anyhow::Result<(f64, f64)> {
    let home = tempfile::tempdir_in(scratch).context("could not make a directory for criterion's files")?;
    let mut command = executable.under(callgrind(), home.path());
    let output = criterion::finish(command.args(criterion::arguments(id, SAMPLES, SHORT, measurement)))?;
    let instructions = total(&String::from_utf8_lossy(&output.stderr))?;
    let iterations = Sample::read(home.path(), id)?.iters.iter().sum();
    Ok((iterations, instructions))
}

/// What valgrind says at its end: `==123== Collected : 456`.
fn total(stderr: &str) -> anyhow::Result<f64> {
    let count = stderr.lines().rev().find_map(|line| {
        let (_, rest) = line.strip_prefix("==")?.split_once("==")?;
        rest.trim().strip_prefix("Collected :")?.trim().parse().ok()
    });
    count.context("valgrind told no instruction count")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_among_what_valgrind_says() {
        let said = "==41== Callgrind\nwarning: Collected : 3\n==41== Events    : Ir\n==41== Collected : 2186\n==41==\n";
        assert_eq!(total(said).unwrap(), 2186.0);
        assert!(total("==41== Events    : Ir").is_err());
    }
}
