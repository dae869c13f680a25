//! The error rates as Markdown.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use loadtests::hint::Hinted;

use super::criterion_verdict::CriterionVerdict;
use super::{Results, SUITE, Scenario, Trial};
use crate::gate::decision::{self, Evidence, Verdict, percent};
use crate::gate::project::Source;
use crate::gate::report::save;
use crate::gate::stats::rate_interval;

const BEGIN: &str = "<!-- self-test: begin -->";
const END: &str = "<!-- self-test: end -->";

/// Every rate with its exact 95 % interval, with what it was measured on.
pub fn markdown(results: &Results) -> String {
    let mut text = String::from(
        "| other cores | head | decisions | FAIL | 95 % interval | INCONCLUSIVE | criterion says \"regressed\" |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for loaded in [false, true] {
        let here: Vec<&Trial> = results.trials.iter().filter(|trial| trial.loaded == loaded).collect();
        let mut slowdowns: Vec<u32> = here
            .iter()
            .filter_map(|trial| match trial.scenario {
                Scenario::Slower(percent) => Some(percent),
                _ => None,
            })
            .collect();
        slowdowns.sort_unstable();
        slowdowns.dedup();
        row(&mut text, loaded, "the same program", &here, |scenario| scenario == Scenario::Equal);
        row(&mut text, loaded, "the same source, other code layout", &here, |scenario| {
            matches!(scenario, Scenario::OtherLayout(_))
        });
        for percent in slowdowns {
            let head = format!("+{percent} % work");
            row(&mut text, loaded, &head, &here, |scenario| scenario == Scenario::Slower(percent));
        }
    }
    for loaded in [false, true] {
        let red: Vec<bool> = suites(results, loaded);
        if !red.is_empty() {
            let count = red.iter().filter(|red| **red).count();
            let (_, upper) = rate_interval(count, red.len());
            let cores = if loaded { "busy" } else { "idle" };
            let _ = write!(
                text,
                "\nSuites of {SUITE} equal benchmarks that went red, other cores {cores}: {count} of {} (at most {:.1} %).",
                red.len(),
                upper * 100.0
            );
        }
    }
    let _ = writeln!(text, "\n\n{}", facts(results));
    text
}

fn row(text: &mut String, loaded: bool, head: &str, trials: &[&Trial], of: impl Fn(Scenario) -> bool) {
    let trials: Vec<&&Trial> = trials.iter().filter(|trial| of(trial.scenario)).collect();
    if trials.is_empty() {
        return;
    }
    let decided = |verdict| trials.iter().filter(|trial| trial.decision.verdict == verdict).count();
    let all = trials.len();
    let failed = decided(Verdict::Fail);
    let (lower, upper) = rate_interval(failed, all);
    let regressed = trials.iter().filter(|trial| trial.criterion == CriterionVerdict::Regressed).count();
    let _ = writeln!(
        text,
        "| {} | {head} | {all} | {failed} | {:.1} % to {:.1} % | {} | {regressed} |",
        if loaded { "busy" } else { "idle" },
        lower * 100.0,
        upper * 100.0,
        decided(Verdict::Inconclusive),
    );
}

/// Whether each suite of equal benchmarks would have been failed, with the correction for its size.
fn suites(results: &Results, loaded: bool) -> Vec<bool> {
    let equal = |trial: &&Trial| trial.loaded == loaded && trial.scenario == Scenario::Equal;
    let trials: Vec<&Trial> = results.trials.iter().filter(equal).collect();
    let suites = trials.chunk_by(|a, b| a.cycle == b.cycle);
    suites
        .map(|suite| {
            let evidence: Vec<Evidence> = suite.iter().map(|trial| trial.evidence).collect();
            let slower = decision::slower(&evidence);
            evidence.iter().zip(slower).any(|(evidence, slower)| slower && !evidence.null_moved)
        })
        .collect()
}

fn facts(results: &Results) -> String {
    let mut text = format!(
        "{}, {} threads, {}, {}, source {}. {} blocks a decision, {} samples, {} ms warm-up and {} ms of measurement \
         a process, floor {}, a PASS excludes {}, seed {}. Time alone decided; each decision has blocks of its own.",
        results.machine.cpu,
        results.machine.cores,
        results.machine.system,
        results.compiler,
        results.source.name(),
        results.blocks,
        results.settings.samples,
        results.settings.warm_up_ms,
        results.settings.measurement_ms,
        percent(results.rule.floor),
        percent(results.rule.resolution),
        results.seed,
    );
    if !results.earlier_sources.is_empty() {
        let earlier: Vec<_> = results.earlier_sources.iter().map(Source::name).collect();
        let _ = write!(text, " Resumed; begun with source {}.", earlier.join(", "));
    }
    if !results.trials.is_empty() {
        let each = results.seconds / results.trials.len() as f64;
        let _ = write!(text, " A decision took {each:.1} s, {:.0} min in all.", results.seconds / 60.0);
    }
    if let Some(load) = results.load_at_start {
        let _ = write!(text, " The load before it began was {load:.2}.");
    }
    if results.calibration.is_empty() {
        let _ = write!(text, " Instructions were not counted ({}).", results.valgrind);
    } else {
        let counted: Vec<String> = (results.calibration.iter())
            .map(|one| format!("+{} % work is {:+.2} % instructions", one.percent, one.instructions * 100.0))
            .collect();
        let _ = write!(text, " By {}: {}", results.valgrind, counted.join(", "));
        if let Some(difference) = results.count_difference {
            let _ = write!(text, "; two counts of one program differ by {:.3} %", difference * 100.0);
        }
        text.push('.');
    }
    if !results.complete {
        text.push_str(
            " Fewer decisions were made than were asked for: the time was up, or it was interrupted.",
        );
    }
    text
}

/// Puts the table between the marks of a document.
pub fn replace_in(path: &Path, table: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    save(path, &replaced(&text, table).with_context(|| format!("could not change {}", path.display()))?)
}

fn replaced(text: &str, table: &str) -> anyhow::Result<String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.with_context(|| {
        Hinted::new("it has no section for the table", format!("it needs the lines {BEGIN} and {END}"))
    })?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_the_one_before_it() {
        let once = replaced(&format!("above\n{BEGIN}{END}\nbelow"), "one").unwrap();
        let twice = replaced(&once, "two").unwrap();
        assert_eq!(twice, format!("above\n{BEGIN}\n\ntwo\n\n{END}\nbelow"));
        assert!(replaced("no marks", "one").is_err());
    }
}
