//! Exercise `frozen-health`: `GET /reports/orders/{userId}` renders a user's orders as a PDF.

use std::time::Duration;

use tokio::task::JoinError;

use crate::catalogue::{CheckKind, CheckSpec, Exercise, Signal};
use crate::domain::report::{OrderHistory, ReportWriter};
use crate::telemetry::MetricSpec;

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "frozen-health",
    title: "Frozen health check",
    symptom: "While order reports are made, the health check times out and the orchestrator restarts a healthy server.",
    cause: "Rendering is pure computation. On an async worker it keeps every other request from being polled, and \
            nothing limits how much of it runs at once.",
    routes: &["GET /reports/orders/{userId}", "GET /health"],
    variants: Variant::ENTRIES,
    checks: &[
        CheckSpec {
            name: "reports-identical",
            kind: CheckKind::Invariant,
            promise: "Every report that is delivered is the whole report, byte for byte.",
        },
        CheckSpec {
            name: "reports-delivered",
            kind: CheckKind::Objective,
            promise: "Reports go on being delivered while more are asked for than can be made.",
        },
        CheckSpec {
            name: "health-p99",
            kind: CheckKind::Objective,
            promise: "The health check is answered during reports nearly as quickly as without: p99 at most twice the idle \
                      one, or within 10 ms.",
        },
        CheckSpec {
            name: "only-clean-refusals",
            kind: CheckKind::Objective,
            promise: "A report that cannot be made soon is refused with 503 and Retry-After, not left to time out.",
        },
    ],
    signals: &[
        Signal {
            title: "Health p99",
            promql: r#"histogram_quantile(0.99, sum by (le) (rate(http_server_request_duration_seconds_bucket{http_route="/health"}[1m])))"#,
            unit: "s",
        },
        Signal {
            title: "Reports by answer",
            promql: r#"sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count{http_route="/reports/orders/{userId}"}[1m]))"#,
            unit: "reqps",
        },
    ],
    metrics: &[&REPORTS],
};

/// Reports by how they ended.
pub static REPORTS: MetricSpec = MetricSpec::counter(
    "stampede_reports_total",
    &["outcome"],
    "reports",
    "Reports that were delivered, refused or failed",
);

variants! {
    Buggy    "buggy"    buggy    Buggy    "Renders the report in the handler."
    Spawned  "spawned"  spawned  Tempting "Renders it in a task of its own, off the request's path."
    Yielding "yielding" yielding Tempting "Lets others have a turn after every order."
    Fixed    "fixed"    fixed    Fixed    "Renders on a bounded number of blocking threads and refuses what would only wait."
}

/// Renders the user's orders as a PDF.
pub async fn render(variant: Variant, history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    match variant {
        Variant::Buggy => buggy::render(history).await,
        Variant::Spawned => spawned::render(history).await,
        Variant::Yielding => yielding::render(history).await,
        Variant::Fixed => fixed::render(history).await,
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
