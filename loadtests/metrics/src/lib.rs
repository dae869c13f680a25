//! The metrics of the load generator, each declared once. They are a crate of their own for those who draw them, who need no
//! load generator for it.

use target_app::telemetry::MetricSpec;

const VARIANT: &[&str] = &["exercise", "variant"];
const REQUEST: &[&str] = &["exercise", "variant", "request"];
const OUTCOME: &[&str] = &["exercise", "variant", "request", "outcome"];
const CHECK: &[&str] = &["exercise", "variant", "check"];

/// Those of the server's own histogram, and the 3 s after which a request is given up.
const RESPONSE_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 2.5, 3.0, 5.0, 7.5, 10.0,
];
/// 20 ms are among them: a timer that is later makes a round invalid.
const LAG_BUCKETS: &[f64] =
    &[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0];

/// What the schedule wants.
pub static INTENDED: MetricSpec = MetricSpec::counter(
    "stampede_loadgen_requests_intended_total",
    REQUEST,
    "requests",
    "Requests that the schedule wanted sent by now; in a closed loop, requests sent",
);
/// What became of it.
pub static REQUESTS: MetricSpec = MetricSpec::counter(
    "stampede_loadgen_requests_total",
    OUTCOME,
    "requests",
    "Requests that came to an end, by outcome: ok, a refusal that is expected, or a failure",
);
/// Response times.
pub static RESPONSE: MetricSpec = MetricSpec::histogram(
    "stampede_loadgen_response_duration_seconds",
    OUTCOME,
    RESPONSE_BUCKETS,
    "seconds",
    "Time from a request's intended start to the end of its answer",
);
/// Lag.
pub static LAG: MetricSpec = MetricSpec::histogram(
    "stampede_loadgen_lag_seconds",
    REQUEST,
    LAG_BUCKETS,
    "seconds",
    "Time from a request's intended start to its sending: the wait for a free user, and late timers",
);
/// Late timers.
pub static TIMER_LAG: MetricSpec = MetricSpec::histogram(
    "stampede_loadgen_timer_lag_seconds",
    VARIANT,
    LAG_BUCKETS,
    "seconds",
    "How late a user who was free sent a request: the generator's own fault",
);
/// Requests on their way.
pub static IN_FLIGHT: MetricSpec = MetricSpec::gauge(
    "stampede_loadgen_in_flight",
    REQUEST,
    "requests",
    "Requests that were sent and have not come to an end",
);
/// The most there can be.
pub static USERS: MetricSpec = MetricSpec::gauge(
    "stampede_loadgen_users",
    VARIANT,
    "requests",
    "Requests that can be in flight at most",
);
/// Rounds that say little of the server.
pub static SATURATED: MetricSpec = MetricSpec::gauge(
    "stampede_loadgen_saturated",
    VARIANT,
    "",
    "1 when the generator, not the server, shaped the numbers of the last round, else 0",
);
/// What the verdicts are made of.
pub static CHECK_HELD: MetricSpec =
    MetricSpec::gauge("stampede_check_held", CHECK, "", "1 when the check held in the last round, else 0");

/// All metrics of the generator.
pub static METRICS: &[&MetricSpec] =
    &[&INTENDED, &REQUESTS, &RESPONSE, &LAG, &TIMER_LAG, &IN_FLIGHT, &USERS, &SATURATED, &CHECK_HELD];
