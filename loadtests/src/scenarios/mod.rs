//! The load scenarios: one file an exercise, found by its id.
//!
//! A [`Scenario`] knows what to send and what a right answer is. Before each round it looks around on the server, through
//! HTTP alone, and makes a [`Round`]: the schedule and the audit. So the same scenario judges the lab's own variants, a
//! participant's edit, and a server that somebody else wrote.

mod frozen_health;
mod oversold_stock;
mod slow_analytics;

use std::time::Duration;

use futures::future::BoxFuture;
use rand_pcg::Pcg64;
use target_app::catalogue::{Exercise, UnknownName};

use crate::api::Api;
use crate::load::{Answer, Load, Outcome, Request, Ticket};
use crate::results::{CheckResult, SignalValue};

/// All scenarios, in catalogue order.
pub static SCENARIOS: &[&dyn Scenario] =
    &[&oversold_stock::Scenario, &frozen_health::Scenario, &slow_analytics::Scenario];

/// The scenario of the exercise `id`.
pub fn scenario(id: &str) -> Result<&'static dyn Scenario, UnknownName> {
    let exercise = target_app::catalogue::exercise(id)?;
    let scenario = SCENARIOS.iter().find(|scenario| scenario.exercise().id == exercise.id);
    Ok(*scenario.expect("a test makes sure that every exercise has a scenario"))
}

/// How much load a round is, with what the command line changed of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Requests a second of the scenario's main stream; what it is without `--rate`, the scenario says.
    pub rate: Option<f64>,
    /// Length of the schedule, warm-up included.
    pub duration: Duration,
    /// Servers on the one database.
    pub replicas: usize,
}

/// Before this, requests are sent and accounted for, and measured by nothing.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// From sending a request to the end of its answer's body.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// The load scenario of one exercise.
pub trait Scenario: Sync {
    /// The exercise it belongs to.
    fn exercise(&self) -> &'static Exercise;

    /// Name of the request that tables and curves show.
    fn headline(&self) -> &'static str;

    /// The load without any option.
    fn shape(&self) -> Shape;

    /// Requests a second at most, of all streams together, when the main one has `rate`: what a round takes of memory.
    fn total_rate(&self, rate: Option<f64>) -> f64;

    /// Requests, by name, and how many of each have to be measured in all rounds together before the checks mean anything:
    /// of fewer, a slow one may be missing by chance.
    fn needs(&self) -> &'static [(&'static str, u64)];

    /// Whether the scenario rests on when requests are sent, so that a closed loop makes nonsense of it.
    fn needs_schedule(&self) -> bool {
        false
    }

    /// The latencies that its objectives allow, without what late wake-ups add: each is an edge of the histograms' buckets.
    fn limits(&self) -> &'static [Duration];

    /// Looks around on the server and makes the round's schedule.
    fn prepare<'a>(
        &'a self,
        api: &'a Api,
        shape: &'a Shape,
        rng: Pcg64,
    ) -> BoxFuture<'a, anyhow::Result<Box<dyn Round>>>;

    /// What the latencies say, over all rounds of a variant.
    fn objectives(&self, load: &Load) -> Findings;
}

/// One round of a scenario.
pub trait Round: Send + Sync {
    /// The load in words: arrivals, rates, mix. `servers` says how many answer it.
    fn describe(&self, servers: &str) -> String;

    /// The schedule; taken once. The requests go to the servers in turn.
    fn tickets(&mut self) -> Vec<Ticket>;

    /// Names the outcome of an answer.
    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome;

    /// Compares the server's state after the load with what it answered.
    fn audit<'a>(&'a self, api: &'a Api, load: &'a Load) -> BoxFuture<'a, anyhow::Result<Audit>>;
}

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
        expected: expected.into(),
        observed: observed.into(),
    }
}

/// A figure to draw.
pub fn signal(name: &str, value: f64, unit: &str, limit: Option<f64>) -> SignalValue {
    SignalValue { name: name.into(), value, unit: unit.into(), limit }
}

/// The check that no request failed, timed out, or was left waiting.
fn no_failures(exercise: &Exercise, name: &str, expected: &str, load: &Load) -> CheckResult {
    let mut failures: Vec<(u64, String)> = load
        .latencies
        .iter()
        .filter(|(_, latencies)| latencies.class.failed())
        .map(|((request, outcome), latencies)| (latencies.response.len(), format!("{request} {outcome}")))
        .collect();
    failures.sort_by(|a, b| b.cmp(a));
    let observed = match failures.as_slice() {
        [] => "none failed".into(),
        some => some.iter().map(|(count, what)| format!("{count} × {what}")).collect::<Vec<_>>().join(", "),
    };
    check(exercise, name, failures.is_empty(), expected, observed)
}

/// What an objective of one answer allows for the machine: an answer takes about four wake-ups (server, database, server,
/// client), and each can be as late as the generator's own timer was on the same processors. In microseconds.
fn allowance(load: &Load) -> u64 {
    4 * load.timer_lag.value_at_quantile(0.99)
}

/// Microseconds as milliseconds, in words.
fn ms(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}
