//! What the server says about itself: metrics on the operator port, logs on standard error.

mod metrics;
pub mod spec;
pub mod statements;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::prelude::*;

pub use metrics::Metrics;
pub use spec::{MetricKind, MetricSpec, all_metrics};

/// Sends logs to standard error (`RUST_LOG` chooses, warnings by default) and counts statements per request.
pub fn init() {
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // They would be printed with `eprintln!`, which panics, in the middle of a request, when the disk is full.
        .log_internal_errors(false)
        .with_filter(EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy());
    // Fails only when a subscriber is there already, which then is the caller's choice.
    let _ = tracing_subscriber::registry().with(logs).with(statements::layer()).try_init();
}

/// Middleware that opens the request's span and records its metrics.
pub async fn observe(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("__unmatched__", MatchedPath::as_str);
    let span = tracing::info_span!(statements::SPAN, http_request_method = method, http_route = route);

    let active = metrics.active(method);
    let start = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    drop(active);
    metrics.request(method, route, response.status(), start.elapsed());
    if let Some(statements) = statements::count(&span) {
        metrics.statements(route, statements);
    }
    response
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
