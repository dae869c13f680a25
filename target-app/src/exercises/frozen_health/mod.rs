//! Exercise `frozen-health`: `GET /reports/orders/{userId}` renders a user's orders as a PDF.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::catalogue::{Alert, CheckSpec, Exercise, KEEPS_CONTRACT, Series, Severity, Signal};
use crate::domain::report::{OrderHistory, ReportWriter};
use crate::error::ApiError;
use crate::telemetry::MetricSpec;

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "frozen-health",
    title: "Frozen health check",
    symptom: "While order reports are made, the health check times out and the orchestrator restarts a healthy server.",
    cause: "Rendering is pure computation. On an async worker it keeps every other request from being polled, and \
            nothing limits how much of it runs at once.",
    routes: &["GET /reports/orders/{userId}", "GET /health"],
    headline: "health",
    variants: Variant::ENTRIES,
    corpus: Variant::CORPUS,
    checks: &[
        KEEPS_CONTRACT,
        CheckSpec::invariant(
            "reports-identical",
            "Every delivered report belongs to its user, has the same bytes each time, and contains all orders placed before it was requested.",
        ),
        CheckSpec::objective(
            "reports-delivered",
            "A twelfth of what the processors can render is delivered, and some of it in each third of the rush: refusing everything is no fix.",
        ),
        CheckSpec::objective(
            "health-p99",
            "Every health check is answered with 200, and their p99 during reports is at most twice the idle p99, or 10 ms.",
        ),
        CheckSpec::objective(
            "only-clean-refusals",
            "Every report ends within 2 s, with 200 or with 503 and `Retry-After`.",
        ),
        CheckSpec::objective(
            "short-reports",
            "While a crowd asks for short reports, the health check is answered at once.",
        ),
        CheckSpec::objective(
            "recovers",
            "After the rush, a single report takes little longer than its rendering, even after many readers have disconnected.",
        ),
    ],
    signals: &[
        Signal {
            title: "Runtime lag p95",
            description: "How long a worker of the async runtime was busy with the same few tasks. Whatever waits for that \
                          worker, a health check for example, waits as long.",
            promql: "histogram_quantile(0.95, sum by (variant, le) (rate(stampede_runtime_lag_seconds_bucket{$scope}[$window])))",
            unit: "s",
            limit: Some(0.25),
        },
        Signal {
            title: "Health check p99, by the server's own clock",
            description: "It starts when the server begins to work on the request. Compare it with what the client saw.",
            promql: r#"histogram_quantile(0.99, sum by (variant, le) (rate(http_server_request_duration_seconds_bucket{$scope, http_route="/health"}[$window])))"#,
            unit: "s",
            limit: None,
        },
        Signal {
            title: "Reports by answer",
            description: "Reports delivered, refused and failed. A server under more load than it can take refuses in time.",
            promql: r#"sum by (variant, http_response_status_code) (rate(http_server_request_duration_seconds_count{$scope, http_route="/reports/orders/{userId}"}[$window]))"#,
            unit: "reqps",
            limit: None,
        },
    ],
    alert: Alert {
        name: "StampedeFrozenHealth",
        promql: "histogram_quantile(0.95, sum by (variant, le) (rate(stampede_runtime_lag_seconds_bucket{$scope}[$window])))",
        unit: "s",
        // A quarter of what an orchestrator commonly waits for a health check.
        above: 0.25,
        hold: Duration::ZERO,
        severity: Severity::Critical,
        summary: "The server answers nothing for long moments, not even its health check",
        description: "Requests to variant {{ $labels.variant }} wait before anybody works on them, so the server's own latencies look \
                      fine. Keep the orchestrator from restarting it, then look at what runs while nothing is answered.",
        fires_on: &[Series::Histogram(
            "stampede_runtime_lag_seconds",
            r#"variant="buggy""#,
            &[("0.25", "0+10x30"), ("0.5", "0+20x30"), ("+Inf", "0+20x30")],
        )],
        silent_on: &[Series::Histogram(
            "stampede_runtime_lag_seconds",
            r#"variant="fixed""#,
            &[("0.01", "0+20x30"), ("+Inf", "0+20x30")],
        )],
    },
    metrics: &[&REPORTS],
    data_gauge: None,
};

/// Reports by how they ended.
pub static REPORTS: MetricSpec = MetricSpec::counter(
    "stampede_reports_total",
    &["outcome"],
    "reports",
    "Reports that were delivered, refused or failed",
);

mod buggy;
#[cfg(feature = "corpus")]
mod corpus;
mod fixed;
mod spawned;
mod yielding;

variants! {
    Buggy    "buggy"    buggy    Buggy    "Renders the report in the handler." ["health-p99"]
    Spawned  "spawned"  spawned  Tempting "Renders it in a task of its own, off the request's path." ["health-p99"]
    Yielding "yielding" yielding Tempting "Lets others have a turn after every order." ["only-clean-refusals"]
    Fixed    "fixed"    fixed    Fixed    "Renders on a bounded number of blocking threads and refuses what would only wait." []
}

/// The reports as a server makes them.
#[derive(Debug)]
pub struct Service {
    variant: Variant,
    /// One for each report that may be rendered at once, where their number has a limit.
    slots: Arc<Semaphore>,
}

impl Service {
    /// In this variant.
    pub fn new(variant: Variant) -> Self {
        Service { variant, slots: Arc::new(fixed::slots()) }
    }

    /// Renders the user's orders as a PDF.
    pub async fn render(&self, history: OrderHistory) -> Result<Vec<u8>, RenderError> {
        match self.variant {
            Variant::Buggy => buggy::render(history).await,
            Variant::Spawned => spawned::render(history).await,
            Variant::Yielding => yielding::render(history).await,
            Variant::Fixed => fixed::render(&self.slots, history).await,
            #[cfg(feature = "corpus")]
            Variant::Corpus(solution) => corpus::render(solution, history).await,
        }
    }
}

/// What became of a report, as [`REPORTS`] counts it.
pub fn outcome(rendered: &Result<Vec<u8>, RenderError>) -> &'static str {
    match rendered {
        Ok(_) => "delivered",
        Err(RenderError::Busy { .. }) => "refused",
        Err(RenderError::Failed(_)) => "failed",
    }
}

/// Why a report was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Too many are being rendered already.
    #[error("too many reports are being made; try again in {} s", retry_after.as_secs())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The renderer panicked or was cancelled.
    #[error("the report could not be rendered")]
    Failed(#[from] JoinError),
}

impl From<RenderError> for ApiError {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Busy { retry_after } => {
                ApiError::Busy { message: error.to_string(), retry_after: retry_after.as_secs() }
            }
            RenderError::Failed(_) => ApiError::Internal(error.into()),
        }
    }
}
