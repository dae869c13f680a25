//! Signals and alerts that several exercises have in common, so that each declares no more than its route and its words.
//!
//! The route is part of a constant expression, hence macros.

use super::Signal;

/// The signal of how many SQL statements a request to `$route` takes, with what a healthy server stays within.
macro_rules! statements_per_request {
    ($route:literal, $limit:literal) => {
        $crate::catalogue::Signal {
            title: "Statements per request",
            description: "SQL statements that one request takes, on average. On a healthy page it does not depend on the data.",
            promql: concat!(
                r#"sum by (variant) (rate(stampede_db_queries_per_request_sum{$scope, http_route=""#,
                $route,
                r#""}[$window])) / sum by (variant) (rate(stampede_db_queries_per_request_count{$scope, http_route=""#,
                $route,
                r#""}[$window]))"#
            ),
            unit: "short",
            limit: Some($limit),
        }
    };
}

/// The alert `$name`, that one in twenty requests to `$route` takes longer than 0.1 s.
macro_rules! slow_route {
    ($name:literal, $route:literal, $summary:literal, $description:literal) => {
        $crate::catalogue::Alert {
            name: $name,
            promql: concat!(
                r#"histogram_quantile(0.95, sum by (variant, le) (rate(http_server_request_duration_seconds_bucket{$scope, http_route=""#,
                $route,
                r#""}[$window])))"#
            ),
            unit: "s",
            // Ten times the usual objective: not late for a moment, but another order of magnitude.
            above: 0.1,
            hold: std::time::Duration::ZERO,
            severity: $crate::catalogue::Severity::Warning,
            summary: $summary,
            description: $description,
            fires_on: &[$crate::catalogue::Series::Histogram(
                "http_server_request_duration_seconds",
                concat!(r#"variant="buggy", http_route=""#, $route, r#"""#),
                &[("0.1", "0+1x30"), ("0.5", "0+20x30"), ("+Inf", "0+20x30")],
            )],
            silent_on: &[
                $crate::catalogue::Series::Histogram(
                    "http_server_request_duration_seconds",
                    concat!(r#"variant="fixed", http_route=""#, $route, r#"""#),
                    &[("0.005", "0+20x30"), ("+Inf", "0+20x30")],
                ),
                // Another route may be as slow as it likes.
                $crate::catalogue::Series::Histogram(
                    "http_server_request_duration_seconds",
                    r#"variant="fixed", http_route="/somewhere/else""#,
                    &[("5", "0x30"), ("+Inf", "0+20x30")],
                ),
            ],
        }
    };
}

pub(crate) use {slow_route, statements_per_request};

/// How many requests repeat a statement.
pub const REPEATED_STATEMENTS: Signal = Signal {
    title: "Requests with repeated statements per second",
    description: "Requests in which one statement ran five times or more.",
    promql: "sum by (variant, http_route) (rate(stampede_n_plus_one_total{$scope}[$window]))",
    unit: "reqps",
    limit: None,
};

/// How long requests wait for a connection.
pub const CONNECTION_WAIT: Signal = Signal {
    title: "Wait for a connection, p99",
    description: "How long a request waits for the pool before its statement can begin.",
    promql: "histogram_quantile(0.99, sum by (variant, le) (rate(db_client_connection_wait_time_seconds_bucket{$scope}[$window])))",
    unit: "s",
    limit: None,
};
