//! What was measured, and the names under which it stands.

use serde::Serialize;

use super::plan::Run;

pub(super) const PGBENCH: &str = "pgbench";
pub(super) const IN_PROCESS: &str = "in process";
pub(super) const OVER_HTTP: &str = "over HTTP";

pub(super) const LAB: &str = "stampede";
pub(super) const GOOSE: &str = "goose";
pub(super) const WRK: &str = "wrk";
pub(super) const OHA: &str = "oha";
pub(super) const K6: &str = "k6";

/// The checkout's measurements.
#[derive(Debug, Serialize)]
pub(super) struct Checkout {
    pub(super) concurrency: u32,
    pub(super) postgres: String,
    /// What pgbench's scripts were made of.
    pub(super) statements: Vec<String>,
    pub(super) runs: Vec<Run>,
    pub(super) skipped: Vec<Skipped>,
}

/// The generators' measurements.
#[derive(Debug, Serialize)]
pub(super) struct Generator {
    pub(super) connections: usize,
    pub(super) fixed_rate: u32,
    /// By arithmetic.
    pub(super) stalls_p99_us: f64,
    pub(super) closed: Vec<Run>,
    pub(super) fixed_health: Vec<Run>,
    pub(super) fixed_stalls: Vec<Run>,
    pub(super) highest: Vec<Highest>,
    pub(super) skipped: Vec<Skipped>,
}

/// A tool that was not measured, or only in part.
#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    pub(super) tool: &'static str,
    pub(super) why: String,
}

/// The highest rate that a tool held, and the first that it did not, in requests a second.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Highest {
    pub(super) tool: &'static str,
    /// None when it did not hold even the first.
    pub(super) held: Option<f64>,
    pub(super) lost: f64,
    /// Why not.
    pub(super) reason: String,
}
