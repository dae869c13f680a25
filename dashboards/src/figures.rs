//! The tables of measured figures on the pages of the exercises, made from a run's `results.json`.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::files::Files;
use crate::pages::row;

/// What is used of a run's results.
#[derive(Debug, Deserialize)]
pub struct Results {
    started_at: String,
    complete: bool,
    environment: Environment,
    generator: Generator,
    exercises: Vec<Exercise>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    postgres: String,
    cpus: usize,
}

#[derive(Debug, Deserialize)]
struct Generator {
    seed: u64,
    rounds: usize,
}

#[derive(Debug, Deserialize)]
struct Exercise {
    id: String,
    variants: Vec<Variant>,
}

#[derive(Debug, Deserialize)]
struct Variant {
    name: String,
    verdict: String,
    checks: Vec<Check>,
    audit: String,
    headline: String,
    requests: Vec<Requests>,
    signals: Vec<Signal>,
}

#[derive(Debug, Deserialize)]
struct Check {
    name: String,
    held: bool,
}

#[derive(Debug, Deserialize)]
struct Requests {
    name: String,
    outcome: String,
    response: Latency,
}

#[derive(Debug, Deserialize)]
struct Latency {
    p50_us: u64,
    p99_us: u64,
}

#[derive(Debug, Deserialize)]
struct Signal {
    name: String,
    value: f64,
    unit: String,
}

impl Results {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, is not what `stampede` writes, or is of a run that was interrupted.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        let results: Results = serde_json::from_str(&text)
            .with_context(|| format!("{} is not the results.json of a run", path.display()))?;
        if !results.complete {
            bail!("{} is of a run that was interrupted; run it again", path.display());
        }
        Ok(results)
    }

    /// The part `results` of each exercise's page.
    pub fn parts(&self) -> Files {
        let mut files = Files::default();
        for exercise in &self.exercises {
            files.add_part(format!("docs/exercises/{}.md", exercise.id), "results", self.table(exercise));
        }
        files
    }

    fn table(&self, exercise: &Exercise) -> String {
        let Results { started_at, environment, generator, .. } = self;
        let Generator { seed, rounds } = generator;
        let day = started_at.split('T').next().unwrap_or(started_at);
        let each = if *rounds == 1 { "one round".to_owned() } else { format!("{rounds} rounds") };
        let (cpus, postgres) = (environment.cpus, &environment.postgres);
        let mut text = format!(
            "<details><summary>The figures (spoilers)</summary>\n\n\
             Run of {day}, seed {seed}, {each} per variant, {cpus} cores, PostgreSQL {postgres}. Latencies are those of successful \
             requests. Of two rounds, the other figures are from the worse one.\n\n"
        );
        let first = &exercise.variants[0];
        let headline = &first.headline;
        let mut head = vec!["variant".into(), "failed checks".into()];
        head.extend([format!("{headline} p50"), format!("{headline} p99")]);
        head.extend(first.signals.iter().map(|signal| signal.name.clone()));
        row(&mut text, &head);
        row(
            &mut text,
            &head.iter().enumerate().map(|(n, _)| if n < 2 { "---" } else { "--:" }).collect::<Vec<_>>(),
        );
        for variant in &exercise.variants {
            row(&mut text, &variant.cells(first));
        }
        text += "\n| variant | what the audit found |\n|---|---|\n";
        for variant in &exercise.variants {
            row(&mut text, &[format!("`{}`", variant.name), variant.audit.clone()]);
        }
        text + "\n</details>\n"
    }
}

impl Variant {
    /// Its row, with the signals that `first` has.
    fn cells(&self, first: &Variant) -> Vec<String> {
        let failed: Vec<String> =
            self.checks.iter().filter(|check| !check.held).map(|check| format!("`{}`", check.name)).collect();
        let failed = if failed.is_empty() { self.verdict.clone() } else { failed.join(", ") };
        let succeeded = self.requests.iter().find(|one| one.name == self.headline && one.outcome == "ok");
        let latency = |pick: fn(&Latency) -> u64| {
            succeeded.map_or("–".into(), |requests| milliseconds(pick(&requests.response) as f64 / 1000.0))
        };
        let mut cells = vec![format!("`{}`", self.name), failed];
        cells.extend([latency(|latency| latency.p50_us), latency(|latency| latency.p99_us)]);
        cells.extend(first.signals.iter().map(|wanted| {
            let found = self.signals.iter().find(|signal| signal.name == wanted.name);
            found.map_or("–".into(), |signal| match signal.unit.as_str() {
                "ms" => milliseconds(signal.value),
                "%" => format!("{:.0} %", signal.value),
                _ => format!("{}", signal.value.round()),
            })
        }));
        cells
    }
}

/// With three digits, or whole seconds' worth of them.
fn milliseconds(ms: f64) -> String {
    match ms {
        1000.0.. => format!("{:.2} s", ms / 1000.0),
        100.0.. => format!("{ms:.0} ms"),
        10.0.. => format!("{ms:.1} ms"),
        _ => format!("{ms:.2} ms"),
    }
}
