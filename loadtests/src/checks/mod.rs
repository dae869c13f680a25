//! What the scenarios of several exercises have in common: results of checks, latencies within limits, and, in the modules, counts
//! of statements, pages that are read while others write, clients who come at one moment, and servers that are killed.

pub mod crowds;
pub mod kills;
pub mod pages;
pub mod reservations;
pub mod statements;

use std::time::Duration;

use target_app::catalogue::Exercise;

use crate::hint::Hinted;
use crate::load::Load;
use crate::reference::REFERENCE;
use crate::results::{CheckResult, SignalValue, Worse};

/// Checks and figures.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What the verdict is made of.
    pub checks: Vec<CheckResult>,
    /// What is drawn.
    pub signals: Vec<SignalValue>,
}

/// What a round's audit found.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// In one sentence.
    pub sentence: String,
    /// In detail.
    pub findings: Findings,
}

/// The result of the check that `exercise` declares under `name`.
pub fn check(
    exercise: &Exercise,
    name: &str,
    held: bool,
    expected: impl Into<String>,
    observed: impl Into<String>,
) -> CheckResult {
    let spec = exercise.check(name);
    CheckResult {
        name: spec.name.into(),
        kind: spec.kind.to_string(),
        held,
        doubt: None,
        skipped: None,
        expected: expected.into(),
        observed: observed.into(),
    }
}

/// What is to be judged, unless it is the lab itself that failed.
///
/// # Errors
/// Errors with a hint: they are not the fault of a server under test.
pub fn judged<T>(found: anyhow::Result<T>) -> anyhow::Result<anyhow::Result<T>> {
    match found {
        Err(error) if error.is::<Hinted>() => Err(error),
        found => Ok(found),
    }
}

/// What a check saw: `good`, or what was wrong.
pub fn seen(found: &anyhow::Result<()>, good: String) -> String {
    found.as_ref().map_or_else(|error| format!("{error:#}"), |()| good)
}

/// A check that could not be made, and why.
pub fn skipped(exercise: &Exercise, name: &str, why: &str) -> CheckResult {
    let expected = exercise.check(name).promise;
    CheckResult { skipped: Some(why.into()), ..check(exercise, name, true, expected, why) }
}

/// A figure to draw; of two rounds the higher one is the worse.
pub fn signal(name: &str, value: f64, unit: &str, limit: Option<f64>) -> SignalValue {
    SignalValue { name: name.into(), value, unit: unit.into(), limit, worse: Worse::Higher }
}

/// A figure to draw; of two rounds the lower one is the worse.
pub fn signal_to_keep_up(name: &str, value: f64, unit: &str, limit: Option<f64>) -> SignalValue {
    SignalValue { worse: Worse::Lower, ..signal(name, value, unit, limit) }
}

/// How many requests failed, timed out, or were left waiting, and what became of them.
pub fn failures(load: &Load) -> Vec<(u64, String)> {
    let mut failures: Vec<(u64, String)> = load
        .latencies
        .iter()
        .filter(|((request, _), latencies)| latencies.class.failed() && *request != REFERENCE)
        .map(|((request, outcome), latencies)| (latencies.response.len(), format!("{request} {outcome}")))
        .collect();
    // In no latency, and failures all the same.
    let warm_up = load.warm_up.failed + load.warm_up.timed_out;
    if warm_up > 0 {
        failures.push((warm_up, "in the warm-up".into()));
    }
    failures
}

/// The check that no request failed, timed out, or was left waiting.
pub fn no_failures(exercise: &Exercise, name: &str, expected: &str, load: &Load) -> CheckResult {
    let mut failures = failures(load);
    failures.sort_by(|a, b| b.cmp(a));
    let observed = match failures.as_slice() {
        [] => "none failed".into(),
        some => some.iter().map(|(count, what)| format!("{count} × {what}")).collect::<Vec<_>>().join(", "),
    };
    check(exercise, name, failures.is_empty(), expected, observed)
}

/// A latency within its limit is one that the machine could have kept: how much later it may be, in latencies of the
/// reference server that was asked during the same load.
const ALLOWED: u64 = 2;

/// Beyond this many latencies of the reference server, it is not the machine that was late.
const DOUBTED: u64 = 8;

/// A reference server that answers within this was not disturbed, and explains nothing.
const UNDISTURBED_US: u64 = 3_000;

/// What the machine itself took for a request, at the 99th percentile and in microseconds: the reference server's answer, and
/// the generator's late timer.
pub fn machine_p99(load: &Load) -> u64 {
    load.service(REFERENCE).value_at_quantile(0.99) + load.timer_lag.value_at_quantile(0.99)
}

/// The objective that 99 in 100 of the requests with this name are answered within a limit, in microseconds, on this machine
/// at this moment. Of a few hundred, some may be late by chance: it is missed when more are late than one in a hundred explains.
pub fn p99_within(exercise: &Exercise, name: &str, load: &Load, request: &str, limit: u64) -> CheckResult {
    let responses = load.response(request);
    let (asked, machine) = (responses.len(), machine_p99(load));
    let late = |limit: u64| asked - responses.count_between(0, limit);
    let missed = |limit: u64| late(limit) > late_by_chance(asked);
    let allowed = limit + ALLOWED * machine;
    let doubtful = missed(allowed) && machine > UNDISTURBED_US && !missed(limit + DOUBTED * machine);
    let doubt = doubtful.then(|| busy(machine));
    let expected = format!("1 in 100 later than {} and {} for the machine", ms(limit), ms(ALLOWED * machine));
    let p99 = ms(responses.value_at_quantile(0.99));
    let observed = format!("{} of {asked}, p99 {p99}", late(allowed));
    CheckResult { doubt, ..check(exercise, name, !missed(allowed), expected, observed) }
}

/// The objective that the slowest of some requests is answered within a limit on this machine, where the reference server's
/// slowest answer took `machine` meanwhile.
pub fn within(
    exercise: &Exercise,
    name: &str,
    (what, slowest): (&str, Duration),
    limit: Duration,
    machine: Duration,
) -> CheckResult {
    let held = |latencies: u64| slowest <= limit + machine * latencies as u32;
    let disturbed = machine > Duration::from_micros(UNDISTURBED_US);
    let doubt = (disturbed && !held(ALLOWED) && held(DOUBTED)).then(|| busy(machine.as_micros() as u64));
    let allowed = ms((machine * ALLOWED as u32).as_micros() as u64);
    let expected = format!("{what} within {limit:?} and {allowed} for the machine");
    let observed = format!("the slowest took {}", ms(slowest.as_micros() as u64));
    CheckResult { doubt, ..check(exercise, name, held(ALLOWED), expected, observed) }
}

/// Why something that was late may not be the server's fault.
pub fn busy(machine: u64) -> String {
    format!("the machine was busy: a reference server beside it took {} as well", ms(machine))
}

/// How many of so many requests are late at most, in 999 of 1,000 loads in which one in a hundred is.
pub fn late_by_chance(requests: u64) -> u64 {
    const SHARE: f64 = 0.01;
    let n = requests as f64;
    if n * SHARE > 100.0 {
        // The binomial distribution is nearly a normal one by then, but for its skew, and its first term is soon too small for a
        // double. (The quantile is by Cornish and Fisher, to the second term.)
        let (z, variance) = (3.09_f64, n * SHARE * (1.0 - SHARE));
        let skew = (z * z - 1.0) / 6.0 * (1.0 - 2.0 * SHARE);
        return (n * SHARE + z * variance.sqrt() + skew).ceil() as u64;
    }
    let mut term = (1.0 - SHARE).powf(n);
    let mut sum = term;
    let mut late = 0;
    while sum < 0.999 && late < requests {
        term *= (n - late as f64) / (late as f64 + 1.0) * SHARE / (1.0 - SHARE);
        sum += term;
        late += 1;
    }
    late
}

/// Microseconds as milliseconds, in words.
pub fn ms(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_beside_a_slow_machine_is_doubted() {
        let exercise = &target_app::exercises::frozen_health::EXERCISE;
        let millis = Duration::from_millis;
        let judged = |slowest, machine| {
            let limit = millis(10);
            let found = within(exercise, "short-reports", ("each", millis(slowest)), limit, millis(machine));
            (found.held, found.doubt.is_some())
        };
        assert_eq!(judged(10, 0), (true, false));
        assert_eq!(
            judged(15, 2),
            (false, false),
            "2 ms explain 4, and a machine that is not busy is no excuse"
        );
        assert_eq!(judged(18, 4), (true, false));
        assert_eq!(judged(30, 5), (false, true));
        assert_eq!(judged(60, 5), (false, false), "no machine makes that of 5 ms");
    }

    #[test]
    fn a_few_late_ones_are_chance_and_many_are_not() {
        let known = [(0, 0), (1, 1), (50, 3), (100, 5), (200, 7), (1_000, 20), (9_999, 133), (20_000, 244)];
        for (requests, late) in known {
            let found = late_by_chance(requests);
            assert!(found.abs_diff(late) <= 1, "{requests}: {found}, and not {late}");
        }
        assert!(
            (1..30_000).all(|n| late_by_chance(n) <= late_by_chance(n + 1)),
            "more requests, more chance"
        );
    }
}
