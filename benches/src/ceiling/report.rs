//! The result: as JSON with every measurement in it, and as tables for people.

use std::fmt::Write as _;

use comfy_table::{Table, TableStyle, presets};
use serde::Serialize;

use super::Pace;
use super::plan::{Percentiles, Run, Sample, Spread, ratio, spread};
use super::results::{Checkout, GOOSE, Generator, IN_PROCESS, K6, LAB, OHA, OVER_HTTP, PGBENCH, Skipped};

/// Everything that was measured. `ceiling.json` is this, with the goals.
#[derive(Debug, Serialize)]
pub(super) struct Ceiling {
    version: u32,
    machine: Machine,
    /// The numbers are from too short a run to be believed.
    quick: bool,
    rounds: u32,
    seconds: u32,
    pub(super) checkout: Option<Checkout>,
    pub(super) generator: Option<Generator>,
}

/// On what it was measured.
#[derive(Debug, Serialize)]
struct Machine {
    processors: usize,
    model: Option<String>,
    /// Of the last minute, before the first measurement: whether others used the machine too.
    load_average: Option<String>,
}

/// A ratio, and what it should be.
#[derive(Debug, Serialize)]
struct Goal {
    what: String,
    /// None when one of the two was not measured.
    ratio: Option<Spread>,
    bound: Bound,
    reached: Option<bool>,
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    AtLeast(f64),
    /// This far from 1, at most.
    Within(f64),
}

impl Goal {
    fn new(what: impl Into<String>, ratio: Option<Spread>, bound: Bound) -> Self {
        let reached = ratio.map(|ratio| match bound {
            Bound::AtLeast(least) => ratio.median >= least,
            Bound::Within(share) => (ratio.median - 1.0).abs() <= share,
        });
        Self { what: what.into(), ratio, bound, reached }
    }

    fn row(&self) -> [String; 4] {
        let goal = match self.bound {
            Bound::AtLeast(least) => format!("at least {least}"),
            Bound::Within(share) => format!("1 ± {share}"),
        };
        let verdict = match (self.ratio, self.bound, self.reached) {
            (Some(ratio), Bound::AtLeast(least), Some(false)) => {
                format!("missed by {:.0} %", (1.0 - ratio.median / least) * 100.0)
            }
            (Some(ratio), Bound::Within(_), Some(false)) => {
                format!("missed: {:+.0} %", (ratio.median - 1.0) * 100.0)
            }
            (_, _, Some(true)) => "reached".into(),
            _ => "not measured".into(),
        };
        [self.what.clone(), self.ratio.map_or_else(|| "–".into(), |r| spread_text(r, 2)), goal, verdict]
    }
}

impl Ceiling {
    pub(super) fn new(pace: Pace, quick: bool) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let machine = Machine {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            model: read("/proc/cpuinfo").and_then(|text| {
                let line = text.lines().find(|line| line.starts_with("model name"))?;
                Some(line.split_once(':')?.1.trim().to_owned())
            }),
            load_average: read("/proc/loadavg")
                .and_then(|text| text.split_whitespace().next().map(str::to_owned)),
        };
        let Pace { rounds, seconds, .. } = pace;
        Self { version: 1, machine, quick, rounds, seconds, checkout: None, generator: None }
    }

    fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        if let Some(Checkout { runs, .. }) = &self.checkout {
            for (subject, least) in [(IN_PROCESS, 0.8), (OVER_HTTP, 0.5)] {
                let share = ratio(runs, (subject, rate), (PGBENCH, rate));
                goals.push(Goal::new(format!("checkouts {subject} / pgbench"), share, Bound::AtLeast(least)));
            }
        }
        if let Some(generator) = &self.generator {
            for (other, least) in [(K6, 2.0), (GOOSE, 0.9)] {
                let share = ratio(&generator.closed, (LAB, rate), (other, rate));
                goals.push(Goal::new(format!("closed loop / {other}"), share, Bound::AtLeast(least)));
            }
            let truth = generator.stalls_p99_us;
            let by_arithmetic = ratio(&generator.fixed_stalls, (LAB, p99), (LAB, |_: &Sample| Some(truth)));
            goals.push(Goal::new("p99 with stalls / by arithmetic", by_arithmetic, Bound::Within(0.05)));
            let stalls = ratio(&generator.fixed_stalls, (LAB, p99), (OHA, p99));
            goals.push(Goal::new("p99 with stalls / oha", stalls, Bound::Within(0.05)));
            // oha's time begins when its timer woke it, the lab's when it should have.
            for (name, ours, theirs) in [
                ("p50 from due / oha", p50 as fn(&Sample) -> Option<f64>, p50 as fn(&Sample) -> Option<f64>),
                ("p99 from due / oha", p99, p99),
                ("p50 from sent / oha", sent_p50, p50),
                ("p99 from sent / oha", sent_p99, p99),
            ] {
                let share = ratio(&generator.fixed_health, (LAB, ours), (OHA, theirs));
                goals.push(Goal::new(name, share, Bound::Within(0.05)));
            }
        }
        goals
    }

    /// `ceiling.json`.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(flatten)]
            ceiling: &'a Ceiling,
            goals: Vec<Goal>,
        }
        Ok(serde_json::to_string_pretty(&Document { ceiling: self, goals: self.goals() })? + "\n")
    }

    /// `ceiling.md`.
    pub(super) fn markdown(&self) -> String {
        self.text("## ", presets::ASCII_MARKDOWN)
    }

    /// For the terminal.
    pub(super) fn terminal(&self) -> String {
        self.text("", presets::UTF8_FULL_CONDENSED)
    }

    fn text(&self, heading: &str, style: TableStyle) -> String {
        let mut text = format!("{heading}Ceiling\n\n{}\n", self.conditions());
        let mut section = |title: &str, table: Table| {
            let _ = write!(text, "\n{heading}{title}\n\n{table}\n");
        };
        let table = |header: &[&str], rows: Vec<Vec<String>>| {
            let mut table = Table::new();
            table.load_style(style).set_header(header).add_rows(rows);
            table
        };
        if let Some(checkout) = &self.checkout {
            section(
                &format!("Checkouts, {} at once", checkout.concurrency),
                table(&["", "checkouts/s", "p50 ms", "p99 ms"], rate_rows(&checkout.runs)),
            );
        }
        if let Some(generator) = &self.generator {
            section(
                &format!("Closed loop, {} connections, bare /health", generator.connections),
                table(&["", "requests/s", "p50 ms", "p99 ms"], rate_rows(&generator.closed)),
            );
            let header = ["", "p50 ms from due", "p99 ms from due", "p50 ms from sent", "p99 ms from sent"];
            for (title, runs) in [("", &generator.fixed_health), (", with stalls", &generator.fixed_stalls)] {
                let title = format!("{} requests/s, constant{title}", generator.fixed_rate);
                section(&title, table(&header, latency_rows(runs)));
            }
            let highest = generator.highest.iter().map(|highest| {
                let held = highest.held.map_or_else(|| "none".into(), |rate| format!("{rate:.0}"));
                vec![highest.tool.into(), held, format!("{:.0}", highest.lost), highest.reason.clone()]
            });
            section(
                "Highest constant rate, bare /health",
                table(&["", "held/s", "lost/s", "because"], highest.collect()),
            );
        }
        let goals = self.goals().iter().map(|goal| goal.row().to_vec()).collect();
        section("Goals", table(&["ratio", "median (range of the rounds)", "goal", ""], goals));

        for note in self.notes() {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }

    fn conditions(&self) -> String {
        let Machine { processors, model, load_average } = &self.machine;
        let mut text = format!("{processors} processors");
        if let Some(model) = model {
            let _ = write!(text, " ({model})");
        }
        if let Some(load) = load_average {
            let _ = write!(text, ", load average {load} before");
        }
        let _ = write!(text, "; {} rounds of two measurements of {} s each.", self.rounds, self.seconds);
        if self.quick {
            text.push_str(" Too quick to be believed: this only shows that it works.");
        }
        if let Some(checkout) = &self.checkout {
            let _ = write!(text, " PostgreSQL {}.", checkout.postgres);
        }
        text
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let skipped = self.checkout.iter().flat_map(|checkout| &checkout.skipped);
        for Skipped { tool, why } in
            skipped.chain(self.generator.iter().flat_map(|generator| &generator.skipped))
        {
            notes.push(format!("Skipped {tool}: {why}."));
        }
        let mut runs: Vec<&[Run]> = self.checkout.iter().map(|checkout| &*checkout.runs).collect();
        if let Some(generator) = &self.generator {
            notes.push(format!("With stalls, p99 is {:.1} ms by arithmetic.", generator.stalls_p99_us / 1e3));
            runs.extend([&*generator.closed, &*generator.fixed_health, &*generator.fixed_stalls]);
        }
        for Run { subject, sample, .. } in runs.into_iter().flatten() {
            if let Some(reason) = &sample.invalid {
                notes.push(format!("Left out a run of {subject}: {reason}."));
            }
        }
        notes
    }
}

fn rate(sample: &Sample) -> Option<f64> {
    Some(sample.rate)
}

fn p50(sample: &Sample) -> Option<f64> {
    sample.response.map(|times| times.p50_us)
}

fn p99(sample: &Sample) -> Option<f64> {
    sample.response.map(|times| times.p99_us)
}

fn sent_p50(sample: &Sample) -> Option<f64> {
    sample.service.map(|times| times.p50_us)
}

fn sent_p99(sample: &Sample) -> Option<f64> {
    sample.service.map(|times| times.p99_us)
}

fn subjects(runs: &[Run]) -> Vec<&'static str> {
    let mut subjects = Vec::new();
    for run in runs {
        if !subjects.contains(&run.subject) {
            subjects.push(run.subject);
        }
    }
    subjects
}

fn rate_rows(runs: &[Run]) -> Vec<Vec<String>> {
    let row = |subject: &'static str| {
        let rate = spread(runs, subject, rate).map_or_else(|| "–".into(), |rate| spread_text(rate, 0));
        let service = |value| times(runs, subject, |sample| sample.service, value);
        vec![subject.to_owned(), rate, service(|t| t.p50_us), service(|t| t.p99_us)]
    };
    subjects(runs).into_iter().map(row).collect()
}

fn latency_rows(runs: &[Run]) -> Vec<Vec<String>> {
    let row = |subject: &'static str| {
        let response = |value| times(runs, subject, |sample| sample.response, value);
        let service = |value| times(runs, subject, |sample| sample.service, value);
        vec![
            subject.to_owned(),
            response(|t| t.p50_us),
            response(|t| t.p99_us),
            service(|t| t.p50_us),
            service(|t| t.p99_us),
        ]
    };
    subjects(runs).into_iter().map(row).collect()
}

/// A percentile over all runs, in milliseconds.
fn times(
    runs: &[Run],
    subject: &str,
    times: fn(&Sample) -> Option<Percentiles>,
    value: fn(Percentiles) -> f64,
) -> String {
    spread(runs, subject, |sample| times(sample).map(|times| value(times) / 1e3))
        .map_or_else(|| "–".into(), |spread| spread_text(spread, 2))
}

fn spread_text(Spread { median, low, high }: Spread, digits: usize) -> String {
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(median: f64) -> Option<Spread> {
        Some(Spread { median, low: median, high: median })
    }

    #[test]
    fn a_goal_is_reached_or_missed_by_so_much_or_was_not_measured() {
        for (ratio, bound, reached, words) in [
            (spread(0.8), Bound::AtLeast(0.8), Some(true), "reached"),
            (spread(0.6), Bound::AtLeast(0.8), Some(false), "missed by 25 %"),
            (spread(0.96), Bound::Within(0.05), Some(true), "reached"),
            (spread(1.1), Bound::Within(0.05), Some(false), "missed: +10 %"),
            (spread(0.9), Bound::Within(0.05), Some(false), "missed: -10 %"),
            (None, Bound::AtLeast(2.0), None, "not measured"),
        ] {
            let goal = Goal::new("a / b", ratio, bound);
            assert_eq!(goal.reached, reached);
            assert_eq!(goal.row()[3], words);
        }
    }

    #[test]
    fn every_measurement_is_in_the_json_and_every_subject_in_the_tables() {
        let run = |subject, rate, invalid: Option<&str>| Run {
            round: 0,
            subject,
            sample: Sample {
                rate,
                response: None,
                service: Some(Percentiles { p50_us: 1_500.0, p99_us: 9_000.0 }),
                invalid: invalid.map(str::to_owned),
            },
        };
        let mut ceiling = Ceiling::new(Pace { rounds: 1, seconds: 1, step: 2.0 }, true);
        ceiling.checkout = Some(Checkout {
            concurrency: 8,
            postgres: "18".into(),
            statements: vec!["UPDATE".into()],
            runs: vec![
                run(IN_PROCESS, 900.0, None),
                run(PGBENCH, 1_000.0, None),
                run(OVER_HTTP, 1.0, Some("out of breath")),
            ],
            skipped: vec![Skipped { tool: K6, why: "not there".into() }],
        });
        let json: serde_json::Value = serde_json::from_str(&ceiling.json().unwrap()).unwrap();
        assert_eq!(json["checkout"]["runs"].as_array().unwrap().len(), 3);
        assert_eq!(json["checkout"]["runs"][2]["invalid"], "out of breath");
        assert_eq!(json["goals"][0]["reached"], true);
        assert_eq!(json["goals"][1]["ratio"], serde_json::Value::Null, "an invalid run counts for nothing");
        for text in [ceiling.markdown(), ceiling.terminal()] {
            for expected in [
                IN_PROCESS,
                OVER_HTTP,
                PGBENCH,
                "900 (900 to 900)",
                "1.50",
                "Skipped k6: not there.",
                "Left out a run of over HTTP: out of breath.",
                "Too quick",
            ] {
                assert!(text.contains(expected), "{expected} is missing:\n{text}");
            }
        }
    }
}
