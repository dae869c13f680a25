//! Driving an executable that was built with criterion, and reading what it leaves behind.
//!
//! The files are private to criterion, by its own word. They were read in its releases 0.5 to 0.8; a test runs the
//! release that this workspace uses, and reads its files.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::stats;

/// How long one process measures one benchmark. Criterion's own defaults are for one process that decides alone; here
/// many decide together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Settings {
    /// Samples a process takes; criterion wants 10 at least
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub samples: u32,

    /// Milliseconds that a process warms up
    #[arg(long, value_name = "MS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub warm_up_ms: u32,

    /// Milliseconds that a process measures; a benchmark of long iterations takes longer
    #[arg(long, value_name = "MS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub measurement_ms: u32,
}

/// Why an executable gave no number.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It ended well and wrote nothing about the benchmark.
    #[error("criterion wrote no result for {0}")]
    Missing(String),
    /// What it wrote could not be read.
    #[error("could not read {path}")]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// What it wrote is not what criterion writes.
    #[error("{path} is corrupt: {why}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// An executable with criterion benchmarks.
#[derive(Debug, Clone)]
pub struct Executable {
    /// The program.
    pub path: PathBuf,
    /// Where `cargo bench` runs it: the root of its package.
    pub directory: PathBuf,
    /// Variables that it is given besides those of this process.
    pub environment: Vec<(String, String)>,
}

impl Executable {
    /// A program that runs in its package's root, with nothing added to its environment.
    pub fn new(path: PathBuf, directory: PathBuf) -> Self {
        Executable { path, directory, environment: Vec::new() }
    }

    /// The program with the environment that `cargo bench` gives it, told where to write.
    pub fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.path);
        self.surround(&mut command, home);
        command
    }

    /// The program under a tool that takes it as its last arguments.
    pub fn under(&self, mut tool: Command, home: &Path) -> Command {
        tool.arg(&self.path);
        self.surround(&mut tool, home);
        tool
    }

    fn surround(&self, command: &mut Command, home: &Path) {
        command
            .current_dir(&self.directory)
            .env("CARGO_MANIFEST_DIR", &self.directory)
            .env("CRITERION_HOME", home)
            .env_remove("CARGO_CRITERION_PORT")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
    }

    /// The ids of its benchmarks, in its order.
    pub fn list(&self, home: &Path) -> anyhow::Result<Vec<String>> {
        let output = finish(self.command(home).args(["--bench", "--list", "--format", "terse"]))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(|line| line.strip_suffix(": benchmark")).map(str::to_owned).collect())
    }

    /// Runs one benchmark in a fresh process that writes under `home`, which has to be empty, and gives its number.
    pub fn measure(&self, id: &str, settings: Settings, home: &Path) -> anyhow::Result<f64> {
        let milliseconds = |ms: u32| Duration::from_millis(ms.into());
        let (warm_up, measurement) =
            (milliseconds(settings.warm_up_ms), milliseconds(settings.measurement_ms));
        finish(self.command(home).args(arguments(id, settings.samples, warm_up, measurement)))?;
        Ok(Sample::read(home, id)?.median_ns())
    }
}

/// What tells a program to measure one benchmark.
pub fn arguments(id: &str, samples: u32, warm_up: Duration, measurement: Duration) -> Vec<String> {
    let mut arguments = vec!["--bench".to_owned(), "--exact".into(), id.into(), "--noplot".into()];
    for (option, value) in [
        ("--sample-size", samples.to_string()),
        ("--warm-up-time", warm_up.as_secs_f64().to_string()),
        ("--measurement-time", measurement.as_secs_f64().to_string()),
        // Criterion's own bootstrap is not used.
        ("--nresamples", "10".into()),
    ] {
        arguments.extend([option.to_owned(), value]);
    }
    arguments
}

/// A program was stopped by the Ctrl-C that was meant for this one.
#[derive(Debug, thiserror::Error)]
#[error("{0} was interrupted")]
pub struct Interrupted(pub String);

/// The number of the signal that Ctrl-C sends, on every Unix.
#[cfg(unix)]
const SIGINT: i32 = 2;

#[cfg(unix)]
/// Whether a program was ended by Ctrl-C.
pub fn was_interrupted(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(SIGINT)
}

#[cfg(not(unix))]
/// Whether a program was ended by Ctrl-C.
pub fn was_interrupted(_: ExitStatus) -> bool {
    false
}

/// Waits for a program, and takes anything but success as an error that quotes its last words.
pub fn finish(command: &mut Command) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("could not start {name}"))?;
    if was_interrupted(output.status) {
        return Err(Interrupted(name).into());
    }
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = last[last.len().saturating_sub(3)..].join(" / ");
        anyhow::bail!("{name} ended with {}: {last}", output.status);
    }
    Ok(output)
}

/// The samples of one benchmark in one process, as `sample.json` has them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sample {
    /// Iterations of each sample.
    pub iters: Vec<f64>,
    /// Nanoseconds of each sample, all its iterations together.
    pub times: Vec<f64>,
}

/// What is used of `benchmark.json`.
#[derive(Deserialize)]
struct BenchmarkId {
    full_id: String,
}

impl Sample {
    /// The newest samples of a benchmark below criterion's root.
    ///
    /// Benchmarks are found by the id in their file: directories are named by it only up to what a file name bears.
    pub fn read(home: &Path, id: &str) -> Result<Self, ReadError> {
        let directory = Self::directory(home, id)?.ok_or_else(|| ReadError::Missing(id.to_owned()))?;
        let path = directory.join("new/sample.json");
        let sample: Sample = parse(&path)?;
        match sample.flaw() {
            None => Ok(sample),
            Some(why) => Err(ReadError::Corrupt { path, why }),
        }
    }

    /// The directory that criterion gave a benchmark, if it wrote one.
    pub fn directory(home: &Path, id: &str) -> Result<Option<PathBuf>, ReadError> {
        let unreadable = |source| ReadError::Unreadable { path: home.to_owned(), source };
        let named = home.join("new/benchmark.json");
        if named.exists() && parse::<BenchmarkId>(&named)?.full_id == id {
            return Ok(Some(home.to_owned()));
        }
        for entry in std::fs::read_dir(home).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_type().map_err(unreadable)?.is_dir()
                && let Some(found) = Self::directory(&entry.path(), id)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn flaw(&self) -> Option<String> {
        let wrong = |values: &[f64]| values.iter().copied().find(|value| !value.is_finite() || *value <= 0.0);
        if self.times.is_empty() || self.iters.len() != self.times.len() {
            return Some(format!("{} counts of iterations and {} times", self.iters.len(), self.times.len()));
        }
        if let Some(count) = wrong(&self.iters) {
            return Some(format!("a sample of {count} iterations"));
        }
        wrong(&self.times).map(|time| format!("a sample that took {time} ns"))
    }

    /// The one number of a process: the median of its samples' nanoseconds an iteration. Samples of one process share
    /// its memory layout and its luck, so they are no independent observations.
    pub fn median_ns(&self) -> f64 {
        let per_iteration: Vec<f64> =
            self.times.iter().zip(&self.iters).map(|(time, iters)| time / iters).collect();
        stats::median(&per_iteration).unwrap_or(f64::NAN)
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ReadError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ReadError::Unreadable { path: path.to_owned(), source })?;
    serde_json::from_str(&text)
        .map_err(|error| ReadError::Corrupt { path: path.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use criterion::{BenchmarkId, Criterion};

    use super::*;

    /// Files of the criterion that this workspace uses, as it writes them.
    fn criterion_home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let mut criterion = Criterion::default()
            .output_directory(home.path())
            .without_plots()
            .sample_size(10)
            .nresamples(1000)
            .warm_up_time(Duration::from_millis(1))
            .measurement_time(Duration::from_millis(1));
        let mut group = criterion.benchmark_group("a: group/with \"odd\" characters");
        for size in [1_u64, 2] {
            let id =
                BenchmarkId::new("sum, of a name that is longer than the sixty-four bytes of a part", size);
            group.bench_with_input(id, &size, |bencher, size| bencher.iter(|| (0..*size).sum::<u64>()));
        }
        group.finish();
        criterion.bench_function("alone", |bencher| bencher.iter(|| std::hint::black_box(1)));
        home
    }

    #[test]
    fn what_this_criterion_writes_is_read() {
        let home = criterion_home();
        let long = "a: group/with \"odd\" characters/sum, of a name that is longer than the sixty-four bytes of a part";
        for id in ["alone", &format!("{long}/1"), &format!("{long}/2")] {
            let sample = Sample::read(home.path(), id).unwrap();
            assert_eq!(sample.times.len(), 10, "{id}");
            assert!(sample.median_ns() > 0.0, "{id}");
        }
        let missing = Sample::read(home.path(), "none").unwrap_err();
        assert_eq!(missing.to_string(), "criterion wrote no result for none");
    }

    #[test]
    fn zero_corrupt_and_cut_files_are_errors_that_name_the_file() {
        let home = criterion_home();
        let path = home.path().join("alone/new/sample.json");
        for (text, why) in [
            (r#"{"iters":[1.0,2.0],"times":[0.0,5.0]}"#, "took 0 ns"),
            (r#"{"iters":[0.0],"times":[5.0]}"#, "0 iterations"),
            (r#"{"iters":[1.0],"times":[5.0,6.0]}"#, "1 counts of iterations and 2 times"),
            (r#"{"iters":[],"times":[]}"#, "0 counts of iterations and 0 times"),
            (r#"{"iters":[1.0],"times":[-5.0]}"#, "took -5 ns"),
            (r#"{"iters":[1.0],"times":[nu"#, "line 1"),
            ("", "line 1"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Sample::read(home.path(), "alone").unwrap_err().to_string();
            assert!(error.contains("sample.json is corrupt") && error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_number_of_a_process_is_the_median_of_its_samples() {
        let sample = Sample { iters: vec![1.0, 2.0, 4.0], times: vec![10.0, 22.0, 400.0] };
        assert_eq!(sample.median_ns(), 11.0, "10, 11 and 100 ns an iteration");
    }
}
