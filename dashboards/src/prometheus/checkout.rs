//! What is measured of the promises about checkout.

use crate::objectives::CHECKOUT_LATENCY_SECONDS;
use crate::promql;

/// Prefix of the recorded shares of checkouts that failed; the window follows.
pub const ERRORS: &str = "stampede:checkout_errors:ratio_rate";

/// Prefix of the recorded shares of checkouts that were slow; the window follows.
pub const SLOW: &str = "stampede:checkout_slow:ratio_rate";

const CHECKOUT: [&str; 2] = [r#"http_request_method="POST""#, r#"http_route="/orders/checkout""#];

/// The share of checkouts that ended in a 5xx.
pub fn errors() -> String {
    let requests = "http_server_request_duration_seconds_count";
    let by = "job, variant";
    let failed = [CHECKOUT[0], CHECKOUT[1], r#"http_response_status_code=~"5..""#];
    promql::share(&promql::rate(requests, by, &failed), &promql::rate(requests, by, &CHECKOUT))
}

/// Of the checkouts that were answered, the share that took too long.
pub fn slow() -> String {
    let answered = [CHECKOUT[0], CHECKOUT[1], r#"http_response_status_code!~"5..""#];
    let edge = format!(r#"le="{CHECKOUT_LATENCY_SECONDS}""#);
    let by = "job, variant";
    let quick = promql::rate(
        "http_server_request_duration_seconds_bucket",
        by,
        &[answered[0], answered[1], answered[2], &edge],
    );
    let all = promql::rate("http_server_request_duration_seconds_count", by, &answered);
    format!("1 - {quick} / {all}")
}
