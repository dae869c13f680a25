//! The load scenarios: one file an exercise, found by its id.
//!
//! A [`Scenario`] knows what to send and what a right answer is. Before each round it asks for everything that the API
//! promises to a single client: the contract. Then it looks around on the server, through HTTP alone, and makes a [`Round`]:
//! the schedule and the audit. So the same scenario judges the lab's own variants, a participant's edit, and a server that
//! somebody else wrote.

mod any;
mod double_charge;
mod frozen_health;
mod hung_payments;
mod oversold_stock;
mod sale_meltdown;
mod skipped_in_line;
mod slow_analytics;
mod slow_order_list;

use std::time::Duration;

use rand_pcg::Pcg64;
use target_app::catalogue::{Exercise, KEEPS_CONTRACT, UnknownName};

use crate::api::Api;
use crate::checks::{Audit, Findings, check};
use crate::faults::Fault;
use crate::hint::Hinted;
use crate::load::{Answer, Load, Outcome, Request, Shape, TIMEOUT, Ticket, Timeline};
use crate::results::CheckResult;

pub use any::{AnyRound, AnyScenario};

/// All scenarios, in catalogue order.
pub static SCENARIOS: &[&dyn AnyScenario] = &[
    &oversold_stock::Scenario,
    &slow_order_list::Scenario,
    &frozen_health::Scenario,
    &slow_analytics::Scenario,
    &hung_payments::Scenario,
    &double_charge::Scenario,
    &sale_meltdown::Scenario,
    &skipped_in_line::Scenario,
];

/// The scenario of the exercise `id`.
pub fn scenario(id: &str) -> Result<&'static dyn AnyScenario, UnknownName> {
    let exercise = target_app::exercises::exercise(id)?;
    let scenario = SCENARIOS.iter().find(|scenario| scenario.spec().exercise.id == exercise.id);
    Ok(*scenario.expect("a test makes sure that every exercise has a scenario"))
}

/// Before this, requests are sent and accounted for, and measured by nothing.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// How long a contract may take, and how long the look around before a load, and the audit after it. Most take a fraction
/// of a second; the sums over half a million orders take a minute.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What is known of a scenario before it has seen a server.
#[derive(Debug)]
pub struct Spec {
    /// The exercise it belongs to.
    pub exercise: &'static Exercise,
    /// The load without any option.
    pub shape: Shape,
    /// Requests a second at most, of all streams together, when the main one has this rate: what a round takes of memory.
    pub total_rate: fn(Option<f64>) -> f64,
    /// Requests, by name, and how many of each have to be measured in all rounds together before the checks mean anything:
    /// of fewer, a slow one may be missing by chance.
    pub needs: &'static [(&'static str, u64)],
    /// What a request may take, from sending it to the end of its answer's body.
    pub patience: Duration,
    /// SQL statements of a request to the reference server: as many as the quickest request takes whose latency is judged.
    pub reference_statements: u32,
    /// The latencies that its objectives allow, without what late wake-ups add: each is an edge of the histograms' buckets.
    pub limits: &'static [Duration],
    /// Whether the scenario rests on when requests are sent, so that a closed loop makes nonsense of it.
    pub needs_schedule: bool,
    /// Options of the lab's servers, as on their command line, such as another `--pool-size`.
    pub server: &'static [&'static str],
    /// Whether the servers call the simulated providers.
    pub providers: bool,
}

/// The load scenario of one exercise.
pub trait Scenario: Sync + 'static {
    /// What is known of it.
    const SPEC: &'static Spec;

    /// What it makes of a server for one round.
    type Round: Round;

    /// Asks, one request after another, for all that any correct server answers. It ends with the first answer that is not
    /// right, and `clause` says what it was about.
    fn contract(api: &Api, clause: &mut Clause) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Looks around on the server and makes the round's schedule. Its requests go to the servers in turn.
    fn prepare(
        api: &Api,
        shape: &Shape,
        rng: Pcg64,
    ) -> impl Future<Output = anyhow::Result<(Self::Round, Vec<Ticket>)>> + Send;

    /// What the latencies say, over all rounds of a variant.
    fn objectives(load: &Load) -> Findings;
}

/// One round of a scenario.
pub trait Round: Send + Sync + 'static {
    /// The load in words: arrivals, rates, mix. `servers` says how many answer it.
    fn describe(&self, servers: &str) -> String;

    /// What goes wrong on purpose while the load runs, at the lab's own servers. All of it is over before the load is.
    fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }

    /// What is asked beside the load, outside its schedule; dropped when the load is over, and it may not end before.
    fn beside(&self, _: &Api, _: &Timeline) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Names the outcome of an answer.
    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome;

    /// Compares the server's state after the load with what it answered.
    fn audit(&self, api: &Api, load: &Load) -> impl Future<Output = anyhow::Result<Audit>> + Send;
}

/// What a contract is about at the moment, as a sentence of what must hold.
#[derive(Debug, Default)]
pub struct Clause(&'static str);

impl Clause {
    /// The next sentence.
    pub fn is(&mut self, sentence: &'static str) {
        self.0 = sentence;
    }
}

/// Goes through the contract of the scenario's exercise.
///
/// # Errors
/// When the server has not the data that the contract is about.
pub async fn keeps_contract(scenario: &dyn AnyScenario, api: &Api) -> anyhow::Result<CheckResult> {
    let mut clause = Clause::default();
    match in_time(scenario.contract(api, &mut clause)).await {
        Err(error) if error.is::<Hinted>() => Err(error),
        kept => Ok(contract_check(scenario.spec().exercise, clause.0, kept)),
    }
}

/// What `work` comes to, within [`PATIENCE`].
pub async fn in_time<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let answered = tokio::time::timeout(PATIENCE, work).await;
    answered.unwrap_or_else(|_| Err(anyhow::anyhow!("it took more than {} s", PATIENCE.as_secs())))
}

/// The check of the contract, which holds unless `kept` says what did not.
pub fn contract_check(exercise: &Exercise, clause: &str, kept: anyhow::Result<()>) -> CheckResult {
    let name = KEEPS_CONTRACT.name;
    match kept {
        Ok(()) => check(exercise, name, true, "every clause is kept", "every clause was kept"),
        Err(broken) => check(exercise, name, false, clause, format!("{broken:#}")),
    }
}
