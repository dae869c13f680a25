//! How users are served: rate, errors, duration.

use super::dashboard::{Dashboard, Section};
use super::panel::Panel;
use crate::objectives::{CHECKOUT_AVAILABILITY, CHECKOUT_LATENCY, REQUEST_P99_SECONDS, budget};
use crate::prometheus::checkout;
use crate::promql::{quantile, rate, share};

const REQUESTS: &str = "http_server_request_duration_seconds_count";
const DURATION: &str = "http_server_request_duration_seconds";
const FAILED: &str = r#"http_response_status_code=~"5..""#;

pub fn dashboard() -> Dashboard {
    let by_route = "variant, http_request_method, http_route";
    let route_legend = "{{variant}} {{http_request_method}} {{http_route}}";
    let failed_share = share(&rate(REQUESTS, "variant", &[FAILED]), &rate(REQUESTS, "variant", &[]));
    Dashboard {
        uid: "stampede-overview".into(),
        title: "Stampede: overview".into(),
        description: "How the servers treat their users: requests, errors, durations. Start here, then go to the dashboard of the exercise."
            .into(),
        chosen_from: "http_server_active_requests",
        exercise: None,
        sections: vec![
            Section {
                title: "At a glance".into(),
                panels: vec![
                    Panel::last("Servers", "Servers that answer on their operator port.", "short")
                        .query(r#"sum by (variant) (up{$scope, job="target-app"})"#, "{{variant}}"),
                    Panel::last("Requests", "Requests answered per second, of all routes.", "reqps")
                        .query(rate(REQUESTS, "variant", &[]), "{{variant}}"),
                    Panel::worst(
                        "Failed, at worst",
                        "Share of answers that are a 5xx, at the worst moment shown.",
                        "percentunit",
                    )
                    .query(&failed_share, "{{variant}}")
                    .limit(budget(CHECKOUT_AVAILABILITY)),
                    Panel::worst("p99, at worst", "All routes together, at the worst moment shown.", "s")
                        .query(quantile(0.99, DURATION, "variant", &[]), "{{variant}}")
                        .limit(REQUEST_P99_SECONDS),
                ],
            },
            Section {
                title: "Rate, errors, duration".into(),
                panels: vec![
                    Panel::lines("Requests by route", "Answers per second. Routes that nobody asks for are not there.", "reqps")
                        .query(rate(REQUESTS, by_route, &[]), route_legend),
                    Panel::lines("Answers by status", "A refusal (4xx, 503 with Retry-After) is an answer; a 500 is none. The shares of failures count every 5xx.", "reqps")
                        .query(
                            rate(REQUESTS, "variant, http_response_status_code", &[]),
                            "{{variant}} {{http_response_status_code}}",
                        ),
                    Panel::lines("Failed", "Share of answers that are a 5xx.", "percentunit")
                        .query(&failed_share, "{{variant}}")
                        .limit(budget(CHECKOUT_AVAILABILITY)),
                    Panel::lines("p50, p95 and p99", "All routes together, by the server's own clock: what waits before the server is not in it.", "s")
                        .query(quantile(0.5, DURATION, "variant", &[]), "{{variant}} p50")
                        .query(quantile(0.95, DURATION, "variant", &[]), "{{variant}} p95")
                        .query(quantile(0.99, DURATION, "variant", &[]), "{{variant}} p99")
                        .limit(REQUEST_P99_SECONDS),
                    Panel::lines("p99 by route", "By the server's own clock. Routes that are slow together have something in common.", "s")
                        .query(quantile(0.99, DURATION, by_route, &[]), route_legend)
                        .limit(REQUEST_P99_SECONDS),
                    Panel::heatmap("Durations", "Every answer, in the buckets of the histogram. Two bands are two kinds of requests.", "reqps")
                        .query(rate("http_server_request_duration_seconds_bucket", "le", &[]), "{{le}}"),
                    Panel::lines("Requests in flight", "Requests that are being answered now. A line that climbs is work that comes faster than it is done.", "short")
                        .query("sum by (variant) (http_server_active_requests{$scope})", "{{variant}}"),
                    Panel::lines("Statements per request", "SQL statements that one request takes, on average. It should not depend on the data.", "short")
                        .query(
                            "sum by (variant, http_route) (rate(stampede_db_queries_per_request_sum{$scope}[$window])) / sum by (variant, http_route) (rate(stampede_db_queries_per_request_count{$scope}[$window]))",
                            "{{variant}} {{http_route}}",
                        ),
                ],
            },
            Section {
                title: "Promises about checkout".into(),
                panels: vec![
                    Panel::lines(
                        "Checkouts that failed",
                        format!(
                            "Share of checkouts that ended in a 5xx. The objective is {} % of answers.",
                            CHECKOUT_AVAILABILITY * 100.0
                        ),
                        "percentunit",
                    )
                    .query(checkout::errors(), "{{variant}}")
                    .limit(budget(CHECKOUT_AVAILABILITY))
                    .size(12, 8),
                    Panel::lines(
                        "Checkouts that were slow",
                        format!(
                            "Share of answered checkouts that took longer than {REQUEST_P99_SECONDS} s. The objective is {} % within it.",
                            CHECKOUT_LATENCY * 100.0
                        ),
                        "percentunit",
                    )
                    .query(checkout::slow(), "{{variant}}")
                    .limit(budget(CHECKOUT_LATENCY))
                    .size(12, 8),
                ],
            },
        ],
    }
}
