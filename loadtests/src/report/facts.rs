//! The questions that every report asks of the results.

use chrono::DateTime;
use target_app::catalogue::KEEPS_CONTRACT;
use target_app::exercises;

use super::format::{self, ABSENT};
use crate::results::{CheckResult, ExerciseResult, RequestStats, Results, Tickets, VariantResult, Verdict};
use crate::verdict::{SOLUTION, STOLEN_BOUND};

/// How a variant's verdict compares with what its kind demands. The worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Exposed what had to be exposed, clean what had to be clean.
    AsExpected,
    /// The other one.
    Unexpected,
    /// The numbers mean nothing.
    Invalid,
}

impl Outcome {
    /// A mark for the eye; the words always stand beside it.
    pub fn mark(self) -> &'static str {
        match self {
            Outcome::AsExpected => "✔",
            Outcome::Unexpected => "✘",
            Outcome::Invalid => "⚠",
        }
    }
}

impl CheckResult {
    /// What was seen, with the reason to doubt it.
    pub fn seen(&self) -> String {
        match &self.doubt {
            Some(doubt) => format!("{}, but {doubt}", self.observed),
            None => self.observed.clone(),
        }
    }
}

impl VariantResult {
    /// How the verdict compares with what the kind demands.
    pub fn outcome(&self) -> Outcome {
        match self.verdict {
            Verdict::Invalid => Outcome::Invalid,
            verdict if verdict == self.expected && self.unpredicted().next().is_none() => Outcome::AsExpected,
            _ => Outcome::Unexpected,
        }
    }

    /// The checks that had to fail and did not: then the variant was exposed by something else than its defect.
    pub fn unpredicted(&self) -> impl Iterator<Item = &str> {
        let failed = |name: &str| self.failed_checks().any(|check| check.name == name);
        self.must_fail.iter().map(String::as_str).filter(move |name| !failed(name))
    }

    /// Of a solution that is not clean, what it has in common with a listed variant, as a sentence.
    pub fn likeness(&self, exercise: &ExerciseResult) -> Option<String> {
        if self.kind != SOLUTION || self.verdict != Verdict::Exposed {
            return None;
        }
        if self.failed_checks().any(|check| check.name == KEEPS_CONTRACT.name) {
            return Some("a single client saw this, so no load was sent".into());
        }
        let claim = |name: &str| Some(exercises::exercise(&exercise.id).ok()?.variant(name).ok()?.claim);
        Some(match self.fails_like.as_slice() {
            [] => "none of the listed variants fails like this".into(),
            [one] => format!("fails like {one}: {}", claim(one).unwrap_or_default()),
            [some @ .., last] => format!("fails like {} or {last}", some.join(", ")),
        })
    }

    /// The verdict in words, with the expectation where it was not met.
    pub fn verdict_words(&self) -> String {
        match self.outcome() {
            Outcome::AsExpected => self.verdict.to_string(),
            Outcome::Unexpected if self.verdict == self.expected => {
                format!("{}, but not by {}", self.verdict, self.unpredicted().collect::<Vec<_>>().join(", "))
            }
            _ => format!("{}, expected {}", self.verdict, self.expected),
        }
    }

    /// The checks that did not hold.
    pub fn failed_checks(&self) -> impl Iterator<Item = &CheckResult> {
        self.checks.iter().filter(|check| !check.held)
    }

    /// Names of the checks that did not hold, or a dash.
    pub fn failed_names(&self) -> String {
        let names: Vec<_> = self.failed_checks().map(|check| check.name.as_str()).collect();
        if names.is_empty() { ABSENT.into() } else { names.join(", ") }
    }

    /// Statistics of the headline request's successes; `None` when there was none.
    pub fn headline_stats(&self) -> Option<&RequestStats> {
        self.requests
            .iter()
            .find(|stats| stats.name == self.headline && stats.outcome == "ok" && stats.count > 0)
    }

    /// A latency of the headline request in words, or a dash.
    pub fn headline_latency(&self, pick: impl Fn(&crate::results::LatencyStats) -> u64) -> String {
        self.headline_stats().map_or(ABSENT.into(), |stats| format::micros(pick(&stats.response) as f64))
    }

    /// Requests without the answer that the scenario expects, as a count and a share of the schedule.
    pub fn errors(&self) -> String {
        match self.tickets.errors() {
            0 => "0".into(),
            errors => {
                format!("{} ({})", format::count(errors), format::percent(errors, self.tickets.scheduled))
            }
        }
    }
}

impl Tickets {
    /// Requests that did not get the answer that the scenario expects: a wrong one, a late one, or none at all.
    pub fn errors(&self) -> u64 {
        self.failed + self.timed_out + self.in_flight + self.never_sent
    }

    /// Whether every scheduled request is accounted for.
    pub fn balanced(&self) -> bool {
        self.scheduled == self.ok + self.failed + self.timed_out + self.in_flight + self.never_sent
    }
}

impl ExerciseResult {
    /// The variants that did not come out as expected.
    pub fn surprises(&self) -> impl Iterator<Item = &VariantResult> {
        self.variants.iter().filter(|variant| variant.outcome() != Outcome::AsExpected)
    }

    /// The variant that stands for this kind where there is room for one: the last, which of fixed ones is the lab's own.
    pub fn of_kind(&self, kind: &str) -> Option<&VariantResult> {
        self.variants.iter().rfind(|variant| variant.kind == kind)
    }

    /// The worst that a variant came out as.
    pub fn outcome(&self) -> Outcome {
        self.variants.iter().map(VariantResult::outcome).max().unwrap_or(Outcome::AsExpected)
    }

    /// How many variants came out as expected: `4 of 4 as expected`.
    pub fn tally(&self) -> String {
        let total = self.variants.len();
        format!("{} of {total} as expected", total - self.surprises().count())
    }

    /// The p99 of a variant's headline request as a multiple of the buggy variant's, or a dash.
    pub fn p99_to_buggy(&self, variant: &VariantResult) -> String {
        let p99 =
            |variant: &VariantResult| variant.headline_stats().map(|stats| stats.response.p99_us as f64);
        let buggy = self.of_kind("buggy").and_then(p99);
        match (p99(variant), buggy) {
            (Some(p99), Some(buggy)) if buggy > 0.0 => format::ratio(p99 / buggy),
            _ => ABSENT.into(),
        }
    }
}

impl Results {
    /// All variants, each with its exercise.
    pub fn variants(&self) -> impl Iterator<Item = (&ExerciseResult, &VariantResult)> {
        self.exercises
            .iter()
            .flat_map(|exercise| exercise.variants.iter().map(move |variant| (exercise, variant)))
    }

    /// The variants that did not come out as expected, each with its exercise.
    pub fn surprises(&self) -> impl Iterator<Item = (&ExerciseResult, &VariantResult)> {
        self.variants().filter(|(_, variant)| variant.outcome() != Outcome::AsExpected)
    }

    /// Whether there are too many exercises to show all of each at once.
    pub fn is_long(&self) -> bool {
        self.exercises.len() > 4
    }

    /// The worst that happened: invalid before unexpected before as expected. A run cut short is invalid as a whole.
    pub fn outcome(&self) -> Outcome {
        if !self.complete {
            return Outcome::Invalid;
        }
        self.exercises.iter().map(ExerciseResult::outcome).max().unwrap_or(Outcome::AsExpected)
    }

    /// The run in one line: `11 of 11 variants as expected`.
    pub fn headline(&self) -> String {
        let of = |outcome| self.variants().filter(|(_, variant)| variant.outcome() == outcome).count();
        let total = self.variants().count();
        let mut line = format!(
            "{} of {total} variant{} as expected",
            of(Outcome::AsExpected),
            if total == 1 { "" } else { "s" }
        );
        for (outcome, word) in [(Outcome::Unexpected, "unexpected"), (Outcome::Invalid, "invalid")] {
            match of(outcome) {
                0 => {}
                some => line.push_str(&format!(", {some} {word}")),
            }
        }
        if !self.complete {
            line.push_str(if self.failure.is_some() { ", then the run failed" } else { ", interrupted" });
        }
        line
    }

    /// What ended a run that is not complete.
    pub fn end(&self) -> String {
        match &self.failure {
            Some(failure) => format!("Ended by a failure ({failure})"),
            None => "Interrupted".into(),
        }
    }

    /// What makes the numbers doubtful, in sentences to be shown loudly.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.complete {
            warnings.push(format!("{}: partial numbers, of the rounds that ended.", self.end()));
        }
        if self.generator.mode == "closed" {
            warnings.push(
                "Closed loop: users wait for their answers before they ask again, so a slow server is asked less and looks \
                 better than it is. The expectations are those of open arrivals."
                    .into(),
            );
        }
        if self.generator.saturated {
            warnings.push(format!(
                "Generator saturated: its own timer was up to {} late (p99), so the rounds concerned are invalid. \
                 Lower the rate, stop other work on this machine, or run the load from another one.",
                format::micros(self.generator.timer_lag_p99_us as f64)
            ));
        }
        if let Some(stolen) = self.environment.stolen_share.filter(|stolen| *stolen > STOLEN_BOUND) {
            warnings.push(format!(
                "Noisy machine: in some round its host gave {:.0} % of the processors to others. Latencies contain that, and so do \
                 verdicts that rest on latencies alone.",
                100.0 * stolen
            ));
        }
        let lost: Vec<_> = self
            .variants()
            .filter(|(_, variant)| !variant.tickets.balanced())
            .map(|(exercise, variant)| format!("{}/{}", exercise.id, variant.name))
            .collect();
        if !lost.is_empty() {
            warnings.push(format!("Not every scheduled request is accounted for: {}.", lost.join(", ")));
        }
        warnings
    }

    /// Where and how the run took place, as pairs of a label and a value.
    pub fn circumstances(&self) -> Vec<(&'static str, String)> {
        let Results { environment, generator, .. } = self;
        let database = match &environment.postgres {
            Some(version) => format!("PostgreSQL {version}, {}", environment.database),
            None => environment.database.clone(),
        };
        let mut machine = format!("{}, {} CPUs", environment.os, environment.cpus);
        if let Some(load) = environment.load_average {
            machine.push_str(&format!(", load average {load:.2} at the start"));
        }
        let mut rounds = format!("{} per variant", generator.rounds);
        if generator.repeated_rounds > 0 {
            rounds.push_str(&format!(", {} repeated", generator.repeated_rounds));
        }
        let started = DateTime::parse_from_rfc3339(&self.started_at).map_or_else(
            |_| self.started_at.clone(),
            |at| at.to_utc().format("%Y-%m-%d %H:%M UTC").to_string(),
        );
        vec![
            ("Started", started),
            ("Took", format::wall_time(self.duration_seconds)),
            ("Load", format!("{} loop", generator.mode)),
            ("Rounds", rounds),
            ("Seed", generator.seed.to_string()),
            ("Scale", environment.scale.clone()),
            ("Database", database),
            ("Added database RTT", format::micros(environment.db_rtt_us as f64)),
            ("Machine", machine),
            (
                "Generator lateness p99",
                format!(
                    "{}, with {} priority",
                    format::micros(generator.timer_lag_p99_us as f64),
                    if generator.ahead { "raised" } else { "ordinary" }
                ),
            ),
            ("Stampede", environment.stampede.clone()),
            ("Run", self.run_id.clone()),
        ]
    }
}
