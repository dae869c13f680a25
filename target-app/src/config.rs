//! Everything about a server that can be chosen, with its bounds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use rustix::process::Resource;

use crate::catalogue::{Exercise, UnknownName};
use crate::exercises::{self, EXERCISES, Variants};
use crate::telemetry;
use crate::telemetry::data_gauges::StartDataGauge;

/// Runs the reference backend on a database that exists and is seeded.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "target-app", version)]
pub struct Config {
    /// PostgreSQL to work on
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,

    /// Outside services to call: payments and the fraud check, under one base URL. Without it, what needs them answers 503
    #[arg(long, env = "PROVIDERS_URL", value_name = "URL")]
    pub providers: Option<Url>,

    /// Address of the public API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Address of the operator port (metrics, readiness, run info); keep it private
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub operator_listen: SocketAddr,

    /// Variants to run; the other exercises run fixed
    #[command(flatten)]
    pub choice: Choice,

    /// Connections to the database, at most
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pool_size: u32,

    /// Database connections to open at the start and keep. Otherwise the first requests of a burst wait while connections are
    /// opened
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub warm_connections: u32,

    /// How long a request may wait for a connection before it is refused with 503
    #[arg(long, default_value_t = 3_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub acquire_timeout_ms: u64,

    /// How long a request may take before it is refused with 503
    #[arg(long, default_value_t = 30_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub request_timeout_ms: u64,

    /// How long a connection may be open without a complete request head, or with an answer that nobody reads, before it
    /// is closed; idle ones are, too
    #[arg(long, default_value_t = 10_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub head_timeout_ms: u64,

    /// Connections of clients at a time; others wait until one ends. As many as the limit of open files leaves room for when
    /// not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: Option<u32>,

    /// Largest request body
    #[arg(long, default_value_t = 1024 * 1024, value_name = "BYTES")]
    pub body_limit: usize,

    /// Async worker threads; one a processor when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub worker_threads: Option<u16>,

    /// Latency to add to every exchange with the database, such as 500us or 2ms
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = db_rtt, overrides_with = "db_rtt")]
    pub db_rtt: Duration,

    /// Leaves the processors to others first, as `nice` does; a load generator on the same machine then keeps its clock
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=19))]
    pub nice: i32,

    /// What the server says of itself
    #[command(flatten)]
    pub telemetry: telemetry::Options,

    /// Exercise whose damage to the data is counted for the metrics, where it has such a gauge; may be repeated. Each asks
    /// the database once a second at most, when the metrics are read. All when not given
    #[arg(long = "data-gauge", value_name = "ID", value_parser = exercise)]
    pub data_gauges: Vec<&'static Exercise>,

    /// Stops when its standard input is closed: a parent that dies, however it dies, takes the server along
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

impl Config {
    /// [`Config::acquire_timeout_ms`] as a duration.
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }

    /// [`Config::head_timeout_ms`] as a duration.
    pub fn head_timeout(&self) -> Duration {
        Duration::from_millis(self.head_timeout_ms)
    }

    /// Connections of clients that are open at a time, at most: those that were asked for, else those that leave files for
    /// everything else that this process opens.
    pub fn connections(&self) -> usize {
        if let Some(connections) = self.max_connections {
            return connections as usize;
        }
        let files = rustix::process::getrlimit(Resource::Nofile).current;
        let files = files.map_or(MOST_CONNECTIONS, |files| files.try_into().unwrap_or(usize::MAX));
        // The relay that adds latency has two ends itself.
        let each = if self.db_rtt.is_zero() { 1 } else { 3 };
        let others = OTHER_FILES + each * self.pool_size as usize;
        files.saturating_sub(others).clamp(LEAST_CONNECTIONS, MOST_CONNECTIONS)
    }

    /// The data gauges that are kept, each with its exercise's id. Most exercises have none.
    pub fn data_gauges(&self) -> Vec<(&'static str, StartDataGauge)> {
        let chosen = if self.data_gauges.is_empty() { EXERCISES } else { &self.data_gauges[..] };
        chosen.iter().filter_map(|exercise| Some((exercise.id, exercise.data_gauge?))).collect()
    }

    /// [`Config::request_timeout_ms`] as a duration.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

/// Files beside those of the pool and of the public listener's connections: the operator port's connections, those of the
/// data gauges and of readiness, the runtimes' own, the log, traces.
const OTHER_FILES: usize = 64;

/// Even where that leaves too few files for the rest: a server that takes nobody in is no use.
const LEAST_CONNECTIONS: usize = 16;

/// More are not worth their memory, wherever the limit of open files is.
const MOST_CONNECTIONS: usize = 65_536;

/// Looks an exercise up.
fn exercise(id: &str) -> Result<&'static Exercise, String> {
    exercises::exercise(id).map_err(|unknown| format!("{unknown}; {}", unknown.hint()))
}

/// Parses a round trip's time.
pub fn db_rtt(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(rtt) if rtt <= Duration::from_secs(1) => Ok(rtt),
        Ok(_) => Err("a round trip takes at most 1s".into()),
        Err(_) => Err("write a time with its unit, such as 500us or 2ms".into()),
    }
}

/// Which variant of each exercise a server runs.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Choice {
    /// Variant of the exercises that --variant does not name: buggy (the code that shipped) or fixed (the fix that works)
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "KIND",
        hide_possible_values = true,
        allow_hyphen_values = true
    )]
    pub all: All,

    /// Variant of one exercise, such as oversold-stock=row-lock; may be given once per exercise
    #[arg(long = "variant", value_name = "ID=NAME", allow_hyphen_values = true)]
    pub variants: Vec<String>,
}

/// The two variants that every exercise has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum All {
    /// What ships.
    Buggy,
    /// The fix that holds.
    #[default]
    Fixed,
}

/// A choice of variants that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// Not of the form ID=NAME.
    #[error("'{0}' is not of the form ID=NAME")]
    Form(String),
    /// Two variants of one exercise, of which a server runs one.
    #[error("'{0}' and '{1}' are two variants of one exercise")]
    Twice(String, String),
    /// No such exercise or variant.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
}

impl ChoiceError {
    /// The remedy.
    pub fn hint(&self) -> String {
        match self {
            ChoiceError::Form(_) => "write for example --variant oversold-stock=row-lock".into(),
            ChoiceError::Twice(..) => {
                "a server runs one variant of an exercise: name one, and start another server for the other"
                    .into()
            }
            ChoiceError::Unknown(unknown) => unknown.hint(),
        }
    }
}

impl Choice {
    /// The variants this stands for.
    pub fn resolve(&self) -> Result<Variants, ChoiceError> {
        let mut variants = match self.all {
            All::Buggy => Variants::BUGGY,
            All::Fixed => Variants::FIXED,
        };
        let mut chosen = BTreeMap::new();
        for choice in &self.variants {
            let (id, name) = choice.split_once('=').ok_or_else(|| ChoiceError::Form(choice.clone()))?;
            variants.set(id, name)?;
            if let Some(before) = chosen.insert(id, choice).filter(|before| *before != choice) {
                return Err(ChoiceError::Twice(before.clone(), choice.clone()));
            }
        }
        Ok(variants)
    }
}
