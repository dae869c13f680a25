//! The result for people and for their tools: a table, Markdown, JUnit, annotations.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::decision::{Decision, Interval, Verdict, percent};
use super::report::{self, Benchmark, Report, SecondWitness};
use super::stats;

/// The columns of the table, on a terminal and in Markdown.
const COLUMNS: [&str; 6] = ["benchmark", "verdict", "base", "change", "99 % bounds", "instructions"];

/// Writes `gate.md` and `junit.xml` beside `gate.json`.
pub fn write_files(report: &Report, out: &Path) -> anyhow::Result<()> {
    report::save(&out.join("gate.md"), &markdown(report))?;
    let junit = junit(report).context("could not write the result as JUnit XML")?;
    report::save(&out.join("junit.xml"), &junit)
}

/// Prints the table, and what GitHub shows beside the code if it is GitHub that runs this.
pub fn show(report: &Report, out: &Path) {
    let mut text = terminal(report);
    let _ = writeln!(text, "{}", out.join("gate.json").display());
    if std::env::var_os("GITHUB_ACTIONS").is_some() {
        text.push_str(&annotations(report));
    }
    // Whoever has stopped reading has the files.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// In a sentence, what the whole says.
fn headline(report: &Report) -> String {
    if !report.complete {
        return "Interrupted: these are partial numbers, and --resume goes on.".into();
    }
    let count = |verdict| {
        report
            .benchmarks
            .iter()
            .filter(|one| one.decision.as_ref().is_some_and(|d| d.verdict == verdict))
            .count()
    };
    let all = report.benchmarks.len();
    match report.worst() {
        None => "Nothing was compared.".into(),
        Some(Verdict::Identical) => {
            "The two sides are identical: their benchmarks run the same machine code.".into()
        }
        Some(Verdict::Pass | Verdict::Added | Verdict::Warn) => {
            format!("None of {all} benchmarks is slower.")
        }
        Some(Verdict::Fail | Verdict::Missing) => {
            let gone = match count(Verdict::Missing) {
                0 => String::new(),
                missing => format!(", {missing} missing"),
            };
            format!("{} of {all} benchmarks slower{gone}.", count(Verdict::Fail))
        }
        Some(Verdict::Error) => {
            format!("{} of {all} benchmarks could not be measured.", count(Verdict::Error))
        }
        Some(Verdict::Inconclusive) => {
            format!("The data does not tell for {} of {all} benchmarks.", count(Verdict::Inconclusive))
        }
    }
}

/// Worst first, and by id among equals: a reader of a long table reads its head.
fn ranked(report: &Report) -> Vec<&Benchmark> {
    let mut benchmarks: Vec<&Benchmark> = report.benchmarks.iter().collect();
    benchmarks.sort_by_key(|one| std::cmp::Reverse(one.decision.as_ref().map(|decision| decision.verdict)));
    benchmarks
}

fn cells(benchmark: &Benchmark) -> [String; 6] {
    let base: Vec<f64> = benchmark.blocks.iter().flat_map(report::Block::base).collect();
    let (change, bounds) = match &benchmark.evidence {
        Some(evidence) => {
            let Interval { estimate, lower, upper } = evidence.change;
            (percent(estimate), format!("{} to {}", percent(lower), percent(upper)))
        }
        None => Default::default(),
    };
    [
        benchmark.id.clone(),
        verdict(benchmark).to_owned(),
        stats::median(&base).map(nanoseconds).unwrap_or_default(),
        change,
        bounds,
        benchmark.instructions.map(|counts| percent(counts.change())).unwrap_or_default(),
    ]
}

fn verdict(benchmark: &Benchmark) -> &'static str {
    benchmark.decision.as_ref().map_or("", |decision| decision.verdict.name())
}

/// A time as people read it: `1.23 µs`.
fn nanoseconds(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{value:.3} {unit}")
}

/// The sentences for the verdicts that are not simply good.
fn reasons(report: &Report) -> Vec<(&Benchmark, &Decision)> {
    let worth = |verdict| !matches!(verdict, Verdict::Pass | Verdict::Identical);
    let decided = ranked(report).into_iter().filter_map(|one| Some((one, one.decision.as_ref()?)));
    decided.filter(|(_, decision)| worth(decision.verdict)).collect()
}

fn terminal(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(COLUMNS);
    for benchmark in ranked(report) {
        table.add_row(cells(benchmark));
    }
    let mut text = format!("{table}\n");
    for (benchmark, decision) in reasons(report) {
        let _ = writeln!(text, "{} {}: {}", decision.verdict.name(), benchmark.id, decision.reason);
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let _ = writeln!(text, "{}", headline(report));
    text
}

/// The result for a pull request.
pub fn markdown(report: &Report) -> String {
    // A benchmark's id may hold what Markdown takes for its own.
    let cell = |text: &str| text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', " ");
    let code = |text: &str| format!("`{}`", cell(text).replace('`', "'"));
    let mut text = format!("## Benchmarks: {}\n\n", headline(report));
    let _ = writeln!(text, "| {} |\n|{}", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for benchmark in ranked(report) {
        let [id, rest @ ..] = cells(benchmark);
        let _ = writeln!(text, "| {} | {} |", code(&id), rest.map(|one| cell(&one)).join(" | "));
    }
    text.push('\n');
    for (benchmark, decision) in reasons(report) {
        let _ =
            writeln!(text, "- **{}** {}: {}", decision.verdict.name(), code(&benchmark.id), decision.reason);
    }
    for note in &report.notes {
        let _ = writeln!(text, "- Note: {note}");
    }
    let witness = match &report.second_witness {
        SecondWitness::On(tool) => format!("instructions counted by {tool}"),
        SecondWitness::Off(_) => "no second witness".into(),
    };
    let _ = writeln!(
        text,
        "\nBase {}, head {}. {} blocks of four fresh processes, floor {}, a PASS excludes {}, seed {}, {witness}. \
         {} ({} threads), {}, {}.",
        report.base.name(),
        report.head.name(),
        report.blocks,
        percent(report.rule.floor),
        percent(report.rule.resolution),
        report.seed,
        report.machine.cpu,
        report.machine.cores,
        report.machine.system,
        report.compiler,
    );
    text
}

/// The result for CI servers: a case per benchmark. What is slower or missing is a failure, what could not be told an
/// error, and what was not compared is skipped.
pub fn junit(report: &Report) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new("benchmarks");
    for benchmark in &report.benchmarks {
        let (mut status, words) = match &benchmark.decision {
            None => {
                (TestCaseStatus::non_success(NonSuccessKind::Error), ("INCOMPLETE", "it was interrupted"))
            }
            Some(decision) => {
                let status = match decision.verdict {
                    Verdict::Pass | Verdict::Identical | Verdict::Warn => TestCaseStatus::success(),
                    Verdict::Added => TestCaseStatus::skipped(),
                    Verdict::Fail | Verdict::Missing => TestCaseStatus::non_success(NonSuccessKind::Failure),
                    Verdict::Inconclusive | Verdict::Error => {
                        TestCaseStatus::non_success(NonSuccessKind::Error)
                    }
                };
                (status, (decision.verdict.name(), decision.reason.as_str()))
            }
        };
        let (kind, reason) = words;
        if !matches!(status, TestCaseStatus::Success { .. }) {
            status.set_message(reason).set_type(kind);
        }
        let mut case = TestCase::new(benchmark.id.as_str(), status);
        case.set_classname("gate").set_system_out(format!("{kind}: {reason}"));
        suite.add_test_case(case);
    }
    let mut junit = quick_junit::Report::new("gate");
    junit.add_test_suite(suite);
    junit.to_string()
}

/// Workflow commands that GitHub shows on the run and on the pull request.
pub fn annotations(report: &Report) -> String {
    // The format's own escapes.
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = String::new();
    for (benchmark, decision) in reasons(report) {
        let command = match decision.verdict {
            Verdict::Fail | Verdict::Missing | Verdict::Error => "error",
            Verdict::Warn | Verdict::Inconclusive => "warning",
            Verdict::Added | Verdict::Pass | Verdict::Identical => "notice",
        };
        let title = property(&format!("{} {}", decision.verdict.name(), benchmark.id));
        let _ = writeln!(text, "::{command} title={title}::{}", data(&decision.reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        assert_eq!(nanoseconds(12.0), "12.000 ns");
        assert_eq!(nanoseconds(1234.5), "1.234 µs");
        assert_eq!(nanoseconds(2.5e9), "2.500 s");
    }
}
