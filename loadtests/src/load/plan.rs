//! A load before it is driven.

use std::time::Duration;

use reqwest::Url;

use super::metrics::Meter;
use super::request::Ticket;
use super::timeline::Timeline;

/// What a request may take, unless its scenario says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(3);

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

/// A load to be driven.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Base URLs of the replicas, such as `http://127.0.0.1:8080`.
    pub targets: Vec<Url>,
    /// In any order; `drive` sorts them by time.
    pub tickets: Vec<Ticket>,
    /// How long the load lasts: no ticket is due at or after it.
    pub duration: Duration,
    /// Tickets due before it are sent and accounted for, and are in no latency.
    pub warm_up: Duration,
    /// Requests in flight at most. Enough is the rate times the longest answer that should not hold back the next request.
    pub users: usize,
    /// From sending to the end of the body.
    pub timeout: Duration,
    /// What requests get after `duration` to be sent and answered, before they are cut off; a third of it when one has failed by
    /// then, because the others would only fail as well.
    pub drain: Duration,
    /// Open or closed.
    pub mode: Mode,
    /// Seeds the trace ids: each request is sent with a `traceparent` header of its own. See [`trace_seed`](super::trace_seed).
    pub trace_seed: u64,
    /// Where the load is to be seen while it goes on; without one nothing is spent on it.
    pub meter: Option<Meter>,
    /// Tells others when the load starts, and the load what they do to its servers.
    pub timeline: Timeline,
}

/// Who decides when a request starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The schedule.
    Open,
    /// The answer to the user's last request: the users go round and round the tickets until `duration` is over. The
    /// response equals the service time, so it hides what a slow server does to those who arrive meanwhile.
    Closed,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Mode::Open => "open",
            Mode::Closed => "closed",
        })
    }
}
