//! What a run leaves behind: the schema of `results.json`, from which every report is drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Raised whenever a field changes its meaning or goes away; new fields leave it alone.
pub const SCHEMA_VERSION: u32 = 1;

/// One run of `stampede compare`, `run` or `check`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Unique to this run; also in the server's logs.
    pub run_id: String,
    /// The command line, as it was typed.
    pub command: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Wall time of the whole run.
    pub duration_seconds: f64,
    /// False while the run goes on, and for ever when it was interrupted or failed: then the numbers are of the rounds that ended.
    pub complete: bool,
    /// What ended the run before its time, where that was a failure and no signal.
    #[serde(default)]
    pub failure: Option<String>,
    /// Where it ran.
    pub environment: Environment,
    /// How the load was made, and whether the generator kept up.
    pub generator: Generator,
    /// In catalogue order.
    pub exercises: Vec<ExerciseResult>,
}

/// Where a run took place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Environment {
    /// Version of Stampede.
    pub stampede: String,
    /// As PostgreSQL reports it, such as `15.18`; absent when only a URL was known.
    pub postgres: Option<String>,
    /// How the database was found: `DATABASE_URL`, a path of server binaries, or a foreign server's URL.
    pub database: String,
    /// Operating system and architecture.
    pub os: String,
    /// Logical processors.
    pub cpus: usize,
    /// One-minute load average when the run began, where the system tells.
    pub load_average: Option<f64>,
    /// The part of all processor time, 0 to 1, that the machine's host gave to others, in the round in which it was most; absent
    /// where the system does not tell.
    #[serde(default)]
    pub stolen_share: Option<f64>,
    /// Name of the seeded data set: small, medium or large.
    pub scale: String,
    /// Latency added to every exchange with the database, in microseconds.
    pub db_rtt_us: u64,
}

/// How the load was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Generator {
    /// `open` (arrivals from a schedule) or `closed` (each user waits for its answer).
    pub mode: String,
    /// Seeds the data, the schedule and the order of the rounds.
    pub seed: u64,
    /// Rounds per variant.
    pub rounds: u32,
    /// Rounds that were repeated because the generator had been saturated.
    pub repeated_rounds: u32,
    /// 99th percentile over all rounds of how late the generator's own timer sent a request, in microseconds.
    pub timer_lag_p99_us: u64,
    /// Set when at least one round stayed saturated: its verdict is `invalid`.
    pub saturated: bool,
    /// Whether its threads had a higher priority than everything else, which the system does not allow to everybody.
    #[serde(default)]
    pub ahead: bool,
}

/// All variants of one exercise that were run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExerciseResult {
    /// Catalogue id.
    pub id: String,
    /// Catalogue title.
    pub title: String,
    /// Catalogue symptom.
    pub symptom: String,
    /// The load in words: arrivals, rates, mix, replicas, pool.
    pub load: String,
    /// In catalogue order.
    pub variants: Vec<VariantResult>,
}

/// One variant, all its rounds merged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VariantResult {
    /// Catalogue name.
    pub name: String,
    /// `buggy`, `tempting` or `fixed`.
    pub kind: String,
    /// The author's one-line claim.
    pub claim: String,
    /// What the run found.
    pub verdict: Verdict,
    /// What the kind demands: exposed for buggy and tempting, clean for fixed.
    pub expected: Verdict,
    /// The checks that follow from its defect: it is exposed as expected only when these did not hold.
    #[serde(default)]
    pub must_fail: Vec<String>,
    /// Of an edit that is not clean, the listed variants that fail like it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fails_like: Vec<String>,
    /// Rounds that are in these numbers.
    pub rounds: u32,
    /// What the verdict is made of.
    pub checks: Vec<CheckResult>,
    /// The audit in one sentence: "sold 137 of 100 in stock".
    pub audit: String,
    /// Latencies by request name and outcome, sorted by both.
    pub requests: Vec<RequestStats>,
    /// Name of the request whose latency and throughput the tables show.
    pub headline: String,
    /// Successful headline requests a second.
    pub throughput: f64,
    /// Fate of every scheduled request.
    pub tickets: Tickets,
    /// The exercise's own figures to draw beside the latency, the same names in every variant.
    pub signals: Vec<SignalValue>,
    /// One-second series over the first round.
    pub series: Vec<Second>,
    /// What went wrong on purpose in the first round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<IncidentMark>,
    /// The slowest requests of all rounds, a few of each name, the slowest first.
    #[serde(default)]
    pub slowest: Vec<SlowRequest>,
}

/// What a run says of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// At least one check other than a control failed.
    Exposed,
    /// Every check held.
    Clean,
    /// A control failed: the numbers mean nothing.
    Invalid,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Exposed => "exposed",
            Verdict::Clean => "clean",
            Verdict::Invalid => "invalid",
        })
    }
}

/// One check and what it saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckResult {
    /// Catalogue name of the check.
    pub name: String,
    /// `invariant`, `objective`, `signal` or `control`.
    pub kind: String,
    /// Whether it held in every round.
    pub held: bool,
    /// Why it proves nothing that it did not hold: the machine may have been at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// Why it was not made; then `held` is true and means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What was expected, such as `at most 100 units sold`.
    pub expected: String,
    /// What was seen, of the worst round, such as `137 units sold`.
    pub observed: String,
}

/// One figure that exposes the defect, comparable across variants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignalValue {
    /// Such as `statements per analytics request`.
    pub name: String,
    /// The figure. Finite: JSON has no word for the others, and would not be read back.
    pub value: f64,
    /// `s`, `ms`, `units`, `statements`, or empty for a ratio.
    pub unit: String,
    /// The line that a correct server does not cross, when there is one.
    pub limit: Option<f64>,
    /// Which of two values is the worse one.
    #[serde(default)]
    pub worse: Worse,
}

/// Which way a figure gets worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Worse {
    /// Upwards, as a latency does.
    #[default]
    Higher,
    /// Downwards, as a throughput does.
    Lower,
}

/// Latency of the requests with one name and one outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestStats {
    /// Request name, such as `checkout`.
    pub name: String,
    /// `ok`, a refusal that the scenario expects (such as `short-stock`), or a failure (such as `status-500`, `timeout`).
    pub outcome: String,
    /// Whether the outcome is a failure.
    pub failed: bool,
    /// Requests.
    pub count: u64,
    /// Done minus the intended start.
    pub response: LatencyStats,
    /// Done minus sent.
    pub service: LatencyStats,
    /// Sent minus the intended start.
    pub lag: LatencyStats,
}

/// Percentiles of one histogram, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyStats {
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Largest.
    pub max_us: u64,
    /// Points of the percentile curve: `[percentile in 0..=100, microseconds]`, ascending.
    pub curve: Vec<(f64, u64)>,
}

/// What became of the scheduled requests. The fields but `scheduled` add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tickets {
    /// Requests in the schedule.
    pub scheduled: u64,
    /// Answered as the scenario expects, refusals included.
    pub ok: u64,
    /// Answered otherwise, or the connection broke.
    pub failed: u64,
    /// No answer within the deadline.
    pub timed_out: u64,
    /// Cut off when the round ended.
    pub in_flight: u64,
    /// The schedule ended before a user was free to send them.
    pub never_sent: u64,
}

/// One second of one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Second since the load began.
    pub second: u32,
    /// Requests completed in it without failure, by request name.
    pub completed: BTreeMap<String, u64>,
    /// Failures and timeouts completed in it, by request name.
    pub failed: BTreeMap<String, u64>,
    /// 99th percentile of the response time of the requests *intended* in it, in microseconds, by request name.
    pub p99_us: BTreeMap<String, u64>,
}

/// Something that went wrong on purpose, on the time axis of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentMark {
    /// Such as `server 1 is killed`.
    pub what: String,
    /// When it began, in seconds since the load began.
    pub from_s: f64,
    /// When it was over; none where it lasted longer than the load.
    pub to_s: Option<f64>,
}

/// A slow request, and where to look for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlowRequest {
    /// Request name.
    pub request: String,
    /// As in [`RequestStats::outcome`].
    pub outcome: String,
    /// Done minus the intended start, in microseconds.
    pub response_us: u64,
    /// Done minus sent, in microseconds.
    pub service_us: u64,
    /// Sent minus the intended start, in microseconds.
    pub lag_us: u64,
    /// The trace that its `traceparent` header named: 32 hexadecimal digits, as in the server's logs.
    pub trace_id: String,
    /// The intended start in its round, in seconds.
    pub at_s: f64,
}
