//! The report for CI servers.

use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::facts::Outcome;
use crate::results::{ExerciseResult, Results, VariantResult};

/// JUnit XML: a suite per exercise, a case per variant.
///
/// A verdict other than the expected one is a failure; an invalid one is an error, and so is a run that was cut short.
/// The time of a case is the length of its load over all rounds.
pub fn junit(results: &Results) -> Result<String, SerializeError> {
    let mut report = Report::new("stampede");
    report.set_time(seconds(results.duration_seconds));
    if let Ok(started) = DateTime::parse_from_rfc3339(&results.started_at) {
        report.set_timestamp(started);
    }
    report.add_test_suites(results.exercises.iter().map(suite));
    if !results.complete {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(format!("{}: partial numbers", results.end())).set_type("incomplete");
        let mut run = TestSuite::new("run");
        run.add_test_case(TestCase::new("run-complete", status));
        report.add_test_suite(run);
    }
    report.to_string()
}

fn suite(exercise: &ExerciseResult) -> TestSuite {
    let mut suite = TestSuite::new(&exercise.id);
    suite.set_time(exercise.variants.iter().map(load_time).sum());
    suite.add_test_cases(exercise.variants.iter().map(|variant| {
        let mut case = TestCase::new(&variant.name, status(variant));
        case.set_classname(&exercise.id)
            .set_time(load_time(variant))
            .set_assertions(variant.checks.len())
            .set_system_out(format!("audit: {}", variant.audit));
        case
    }));
    suite
}

fn status(variant: &VariantResult) -> TestCaseStatus {
    let kind = match variant.outcome() {
        Outcome::AsExpected => return TestCaseStatus::success(),
        Outcome::Unexpected => NonSuccessKind::Failure,
        Outcome::Invalid => NonSuccessKind::Error,
    };
    let failed: Vec<_> = variant
        .failed_checks()
        .map(|check| {
            format!("{} {}: expected {}, saw {}", check.kind, check.name, check.expected, check.seen())
        })
        .collect();
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_message(variant.verdict_words())
        .set_type(variant.verdict.to_string())
        .set_description(if failed.is_empty() { "every check held".into() } else { failed.join("\n") });
    status
}

fn load_time(variant: &VariantResult) -> Duration {
    Duration::from_secs(variant.series.len() as u64 * u64::from(variant.rounds))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
