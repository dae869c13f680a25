//! The metrics, each declared once: what is registered, documented and allowed on a dashboard is read from here.
//!
//! Business facts are declared by whoever they belong to.

/// The declaration of one metric.
#[derive(Debug)]
pub struct MetricSpec {
    /// Its name, with the base unit at the end, as Prometheus' naming rules demand.
    pub name: &'static str,
    /// How its values behave.
    pub kind: MetricKind,
    /// What it counts, in one sentence without a full stop.
    pub help: &'static str,
    /// Names of its labels. Every label has a bounded set of values.
    pub labels: &'static [&'static str],
    /// Upper edges of a histogram's buckets, ascending, without infinity; empty for the other kinds.
    pub buckets: &'static [f64],
    /// What one is one of: `seconds`, `requests`, `connections`, and so on.
    pub unit: &'static str,
}

/// How a metric's values behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl MetricKind {
    /// The word in a `# TYPE` line.
    pub fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

impl MetricSpec {
    /// A counter.
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        MetricSpec { name, kind: MetricKind::Counter, help, labels, buckets: &[], unit }
    }

    /// A gauge.
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        MetricSpec { name, kind: MetricKind::Gauge, help, labels, buckets: &[], unit }
    }

    /// A histogram with these bucket edges.
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        buckets: &'static [f64],
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        MetricSpec { name, kind: MetricKind::Histogram, help, labels, buckets, unit }
    }

    /// The names under which Prometheus keeps it: a histogram is three.
    pub fn series(&self) -> Vec<String> {
        match self.kind {
            MetricKind::Counter | MetricKind::Gauge => vec![self.name.into()],
            MetricKind::Histogram => {
                ["bucket", "sum", "count"].map(|part| format!("{}_{part}", self.name)).into()
            }
        }
    }
}

/// Every limit on an answer's time that is watched is an edge, else the quantile beside it is a guess.
const REQUEST_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const DATABASE_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const LAG_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The metrics that do not belong to an exercise.
pub static METRICS: &[&MetricSpec] = &[
    &REQUEST_DURATION,
    &ACTIVE_REQUESTS,
    &STATEMENT_DURATION,
    &STATEMENTS_PER_REQUEST,
    &N_PLUS_ONE,
    &CONNECTIONS,
    &CONNECTIONS_MAX,
    &CONNECTIONS_PENDING,
    &CONNECTION_TIMEOUTS,
    &CONNECTION_WAIT,
    &CONNECTION_USE,
    &CALL_DURATION,
    &CALLS_IN_FLIGHT,
    &RUNTIME_LAG,
    &TOKIO_WORKERS,
    &TOKIO_LIVE_TASKS,
    &TOKIO_GLOBAL_QUEUE_DEPTH,
    &TOKIO_BUSY_RATIO,
    &PROCESS_CPU,
    &RUN_INFO,
];

/// Requests and their times.
pub static REQUEST_DURATION: MetricSpec = MetricSpec::histogram(
    "http_server_request_duration_seconds",
    &["http_request_method", "http_route", "http_response_status_code"],
    REQUEST_SECONDS,
    "seconds",
    "Time from a request's head to its answer's",
);

/// Requests in flight.
pub static ACTIVE_REQUESTS: MetricSpec = MetricSpec::gauge(
    "http_server_active_requests",
    &["http_request_method"],
    "requests",
    "Requests that are being answered",
);

/// Statements and their times.
pub static STATEMENT_DURATION: MetricSpec = MetricSpec::histogram(
    "db_client_operation_duration_seconds",
    &["db_query_summary", "error_type"],
    DATABASE_SECONDS,
    "seconds",
    "Time of an SQL statement, from sending it to the last row read",
);

/// Statements by request.
pub static STATEMENTS_PER_REQUEST: MetricSpec = MetricSpec::histogram(
    "stampede_db_queries_per_request",
    &["http_route"],
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0],
    "statements",
    "SQL statements that one request took",
);

/// Requests that repeated a statement.
pub static N_PLUS_ONE: MetricSpec = MetricSpec::counter(
    "stampede_n_plus_one_total",
    &["http_route", "db_query_summary"],
    "requests",
    "Requests that sent one statement five times or more",
);

/// Connections in the pool. OpenTelemetry's name ends in `_count`, which Prometheus' linter keeps for histograms.
pub static CONNECTIONS: MetricSpec = MetricSpec::gauge(
    "db_client_connections",
    &["state"],
    "connections",
    "Connections of the pool that are idle or used",
);

/// The pool's size.
pub static CONNECTIONS_MAX: MetricSpec =
    MetricSpec::gauge("db_client_connection_max", &[], "connections", "Connections that the pool may open");

/// Who waits for a connection.
pub static CONNECTIONS_PENDING: MetricSpec = MetricSpec::gauge(
    "db_client_connection_pending_requests",
    &[],
    "requests",
    "Waits for a connection at a time, on average over the last 2 s; a wait is counted when it ends",
);

/// Who waited in vain.
pub static CONNECTION_TIMEOUTS: MetricSpec = MetricSpec::counter(
    "db_client_connection_timeouts_total",
    &[],
    "requests",
    "Waits for a connection that ended without one",
);

/// Waits for a connection.
pub static CONNECTION_WAIT: MetricSpec = MetricSpec::histogram(
    "db_client_connection_wait_time_seconds",
    &[],
    DATABASE_SECONDS,
    "seconds",
    "Time from asking the pool for a connection to having one, or to giving up",
);

/// How long connections are kept.
pub static CONNECTION_USE: MetricSpec = MetricSpec::histogram(
    "db_client_connection_use_time_seconds",
    &[],
    DATABASE_SECONDS,
    "seconds",
    "Time from getting a connection out of the pool to giving it back",
);

/// Calls of outside services and their times. One that was given up is not among them.
pub static CALL_DURATION: MetricSpec = MetricSpec::histogram(
    "http_client_request_duration_seconds",
    &["service", "outcome"],
    REQUEST_SECONDS,
    "seconds",
    "Time of a call of an outside service, from sending it to the end of its answer",
);

/// Calls of outside services that are under way.
pub static CALLS_IN_FLIGHT: MetricSpec = MetricSpec::gauge(
    "http_client_active_requests",
    &["service"],
    "requests",
    "Calls of an outside service that are not answered yet",
);

/// Workers that do not look after their sockets.
pub static RUNTIME_LAG: MetricSpec = MetricSpec::histogram(
    "stampede_runtime_lag_seconds",
    &[],
    LAG_SECONDS,
    "seconds",
    "How long an async worker was still busy with the same few tasks, asked of each worker every 10 ms",
);

/// Worker threads.
pub static TOKIO_WORKERS: MetricSpec =
    MetricSpec::gauge("tokio_workers", &[], "threads", "Worker threads of the async runtime");

/// Tasks.
pub static TOKIO_LIVE_TASKS: MetricSpec =
    MetricSpec::gauge("tokio_live_tasks", &[], "tasks", "Tasks of the async runtime that have not ended");

/// Tasks that no worker has taken.
pub static TOKIO_GLOBAL_QUEUE_DEPTH: MetricSpec = MetricSpec::gauge(
    "tokio_global_queue_depth",
    &[],
    "tasks",
    "Tasks that are ready and that no worker has taken yet",
);

/// How busy the workers are.
pub static TOKIO_BUSY_RATIO: MetricSpec = MetricSpec::gauge(
    "tokio_busy_ratio",
    &[],
    "ratio",
    "Share of the workers' time that they were busy over the last 2 s, from 0 to 1",
);

/// Processor time.
pub static PROCESS_CPU: MetricSpec = MetricSpec::counter(
    "stampede_process_cpu_seconds_total",
    &[],
    "seconds",
    "Processor time of this process, of the user and of the system (0 where the system is not Linux)",
);

/// Which run and which variants this is.
pub static RUN_INFO: MetricSpec = MetricSpec::gauge(
    "stampede_run_info",
    &["exercise", "variant", "run_id", "version"],
    "",
    "1 for each exercise's variant that this server runs",
);
