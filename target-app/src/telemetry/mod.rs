//! What the server says about itself: metrics on the operator port, logs on standard error, traces to a collector.
//!
//! - `spec`: every metric, declared once; `metrics` makes them
//! - [`sql_tally`], a crate of its own: what a request asks of the database
//! - `pool`, `runtime`, `process`: connections, workers, processor time; `window`: what of them is a rate
//! - [`data_gauges`]: what an exercise has read from the data when somebody asks for the metrics
//! - `trace`, `logs`, `otlp`: trace ids, where they are written, and where they are sent

pub mod data_gauges;
mod logs;
mod metrics;
pub mod otlp;
mod pool;
pub mod process;
pub mod runtime;
pub mod spec;
mod trace;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry_sdk::trace::SdkTracerProvider;
use sqlx::PgPool;
use tracing::field::{self, Empty};
use tracing::{Instrument, Span};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

use logs::LoggedRequest;

pub use data_gauges::DataGauges;
pub use metrics::{Active, Metrics};
pub use pool::PoolMetrics;
pub use spec::{MetricKind, MetricSpec};
pub use trace::{TRACEPARENT, TraceContext};

/// What a server says about itself, and to whom.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Names the run in metrics and logs
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    pub run_id: String,

    /// Whether the server measures itself; off leaves only the run's name on the operator port, and is there to show what
    /// measuring costs
    #[arg(long, value_enum, default_value_t, value_name = "SWITCH")]
    pub telemetry: Switch,

    /// Collector to send traces to, over OTLP with HTTP, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL", value_parser = otlp::collector)]
    pub otlp: Option<Uri>,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Switch {
    /// It is.
    #[default]
    On,
    /// It is not.
    Off,
}

/// What a server says about itself, and through what.
#[derive(Debug)]
pub struct Telemetry {
    /// What is counted and timed.
    pub metrics: Arc<Metrics>,
    /// What is counted of the connection pool.
    pub pool: Arc<PoolMetrics>,
    on: bool,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Makes these metrics and installs the subscriber of this process: logs, the count of statements, the export of
    /// traces. Of the pool it has to be known how long a request may wait for a connection.
    ///
    /// # Errors
    ///
    /// When the export of traces cannot be set up, or is asked for without telemetry.
    pub fn start(
        options: &Options,
        metrics: impl Iterator<Item = &'static MetricSpec> + Clone,
        acquire_timeout: Duration,
    ) -> anyhow::Result<Self> {
        let on = options.telemetry == Switch::On;
        let metrics = Arc::new(Metrics::new(metrics)?);
        let pool = Arc::new(PoolMetrics::new(&metrics, acquire_timeout));
        let traces = match &options.otlp {
            Some(_) if !on => {
                anyhow::bail!("--otlp sends nothing with --telemetry off; leave one of the two out")
            }
            Some(collector) => Some(otlp::provider(collector, &options.run_id)?),
            None => None,
        };
        let observer = Observer { metrics: metrics.clone(), pool: pool.clone() };
        let chosen = logs::chosen();
        let subscriber = tracing_subscriber::registry()
            .with(logs::layer(&options.run_id, chosen.clone()))
            .with(on.then(|| sql_tally::layer(observer)))
            .with(traces.as_ref().map(otlp::layer))
            .with(filter_fn(move |metadata| {
                (on && sql_tally::wants(metadata)) || chosen.would_enable(metadata.target(), metadata.level())
            }));
        // Fails only when a subscriber is there already, which then is the caller's choice. The subscriber is not offered
        // to the `log` crate, which nothing here logs with, and which sqlx would ask before each statement.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(Telemetry { metrics, pool, on, traces })
    }

    /// Whether anything is measured.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Adds to a counter that an exercise declares.
    pub fn count(&self, spec: &MetricSpec, labels: &[&str], by: f64) {
        if self.on {
            self.metrics.counter(spec, labels).inc_by(by);
        }
    }

    /// Sends off the last traces. It blocks, for a bounded time.
    pub fn flush(&self) {
        if let Some(traces) = &self.traces {
            otlp::shut_down(traces);
        }
    }
}

/// Passes what the count of statements sees on to the metrics.
struct Observer {
    metrics: Arc<Metrics>,
    pool: Arc<PoolMetrics>,
}

impl sql_tally::Observer for Observer {
    fn statement(&self, summary: &str, error_type: &str, duration: Duration) {
        self.metrics
            .histogram(&spec::STATEMENT_DURATION, &[summary, error_type])
            .observe(duration.as_secs_f64());
    }

    fn connection(&self, wait: Duration) {
        self.pool.handed_out(wait);
    }

    fn no_connection(&self) {
        self.pool.timed_out();
    }
}

/// What is looked up only when somebody asks for the metrics, and what watches the runtime meanwhile.
#[derive(Debug)]
pub struct Gauges {
    telemetry: Arc<Telemetry>,
    pool: PgPool,
    data_gauges: DataGauges,
    watching: runtime::Watching,
}

impl Gauges {
    /// Of this runtime, this pool and this data.
    ///
    /// # Errors
    ///
    /// When the system has no thread to spare.
    pub fn new(telemetry: Arc<Telemetry>, pool: PgPool, data_gauges: DataGauges) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let lag = telemetry.metrics.histogram(&spec::RUNTIME_LAG, &[]);
        let watching = runtime::watch(runtime.metrics(), lag)?;
        Ok(Gauges { telemetry, pool, data_gauges, watching })
    }

    /// Brings the gauges up to date. What they say does not depend on when they were brought up to date before.
    pub async fn scrape(&self) {
        let metrics = &self.telemetry.metrics;
        self.telemetry.pool.scrape(&self.pool);
        let runtime = self.watching.runtime();
        metrics.gauge(&spec::TOKIO_WORKERS, &[]).set(runtime.num_workers() as f64);
        metrics.gauge(&spec::TOKIO_LIVE_TASKS, &[]).set(runtime.num_alive_tasks() as f64);
        metrics.gauge(&spec::TOKIO_GLOBAL_QUEUE_DEPTH, &[]).set(runtime.global_queue_depth() as f64);
        metrics.gauge(&spec::TOKIO_BUSY_RATIO, &[]).set(self.watching.busy_ratio());
        if let Some(seconds) = process::cpu_seconds("self") {
            let counter = metrics.counter(&spec::PROCESS_CPU, &[]);
            counter.inc_by((seconds - counter.get()).max(0.0));
        }
        self.data_gauges.scrape(metrics).await;
    }
}

/// Middleware that opens the request's span, gives it its place in a trace, and records its metrics.
pub async fn observe(State(telemetry): State<Arc<Telemetry>>, request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = route_label(path.as_ref());
    let caller = TraceContext::of_caller(request.headers());
    let own = caller.map_or_else(TraceContext::begin, TraceContext::child);
    let span = tracing::info_span!(
        sql_tally::SPAN,
        http_request_method = method,
        http_route = route,
        http_response_status_code = Empty,
        trace_id = field::display(format_args!("{:032x}", own.trace_id)),
        otel.name = Empty,
        otel.kind = Empty,
    );
    let exported = match &telemetry.traces {
        Some(_) => otlp::begin(&span, caller, &format!("{method} {route}")),
        None => None,
    };
    let trace = exported.unwrap_or(own);
    LoggedRequest { trace, method, route: path.clone() }.attach(&span);

    let mut asked = Asked {
        _active: telemetry.metrics.active(method),
        telemetry,
        method,
        path,
        span: span.clone(),
        start: Instant::now(),
        status: CLIENT_CLOSED_REQUEST,
    };
    let mut response = next.run(request).instrument(span).await;
    asked.status = response.status().as_u16();
    drop(asked);
    response.headers_mut().insert(TRACEPARENT, trace.header());
    response
}

/// What a request counts as whose client has left before the answer: nginx's code for it, which is no status of HTTP.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request until it is answered or given up. It is recorded when it is dropped, because a client that hangs up drops the
/// handler with it, and the slowest requests are those that clients give up.
struct Asked {
    _active: Active,
    telemetry: Arc<Telemetry>,
    method: &'static str,
    path: Option<MatchedPath>,
    span: Span,
    start: Instant,
    status: u16,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Asked { telemetry, method, span, status, .. } = self;
        let metrics = &telemetry.metrics;
        let route = route_label(self.path.as_ref());
        let duration = self.start.elapsed();
        metrics.request(method, route, *status, duration);
        if let Some(tally) = sql_tally::tally(span) {
            metrics.statements(route, tally.statements);
            for summary in &tally.repeated {
                metrics.counter(&spec::N_PLUS_ONE, &[route, summary]).inc();
            }
        }
        if telemetry.traces.is_some() {
            span.record("http_response_status_code", *status);
        }
        span.in_scope(|| {
            let duration_ms = duration.as_secs_f64() * 1e3;
            tracing::info!(target: "target_app::access", http_response_status_code = *status, duration_ms, "answered");
        });
    }
}

/// The route's pattern as a label: a client may invent paths, but not series.
fn route_label(path: Option<&MatchedPath>) -> &str {
    path.map_or("__unmatched__", MatchedPath::as_str)
}

/// The method as a label: a client may invent methods, but not series.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
