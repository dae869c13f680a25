//! The load as its clients see it, and whether the generator itself can be trusted.

use super::dashboard::{Dashboard, Section, all_variants};
use super::panel::Panel;
use crate::objectives::GENERATOR_LAG_SECONDS;
use crate::promql::{quantile, rate};

/// From the intended start to the end of the answer's body.
pub const RESPONSE: &str = "stampede_loadgen_response_duration_seconds";

/// How late a request was sent.
pub const LAG: &str = "stampede_loadgen_lag_seconds";

pub fn dashboard() -> Dashboard {
    let by = "exercise, variant";
    let legend = |what: &str| format!("{{{{variant}}}} {{{{exercise}}}}{what}");
    Dashboard {
        uid: "stampede-load".into(),
        title: "Stampede: load generator".into(),
        description: "What clients see, from the moment when they wanted to start, and whether the generator kept to its schedule.".into(),
        chosen_from: "stampede_loadgen_requests_intended_total",
        matchers: String::new(),
        runs: String::new(),
        variants: all_variants(),
        sections: vec![
            Section {
                title: "Can it be trusted?".into(),
                panels: vec![
                    Panel::worst("Lag p99, at worst", "How late requests were sent. Beyond the limit, latencies are the generator's own.", "s")
                        .query(quantile(0.99, LAG, by, &[]), legend(""))
                        .limit(GENERATOR_LAG_SECONDS),
                    Panel::lines("Intended and completed", "Requests per second. The gap between the two lines is requests without an answer.", "reqps")
                        .query(rate("stampede_loadgen_requests_intended_total", by, &[]), legend(" intended"))
                        .query(rate("stampede_loadgen_requests_total", by, &[]), legend(" completed"))
                        .size(9, 9),
                    Panel::lines("Lag", "How late requests were sent, after their intended start.", "s")
                        .query(quantile(0.5, LAG, by, &[]), legend(" p50"))
                        .query(quantile(0.99, LAG, by, &[]), legend(" p99"))
                        .limit(GENERATOR_LAG_SECONDS)
                        .size(9, 9),
                ],
            },
            Section {
                title: "What clients see".into(),
                panels: vec![
                    Panel::lines("Outcomes", "Requests per second by what came of them: ok, refusals that the scenario expects, failures.", "reqps")
                        .query(rate("stampede_loadgen_requests_total", "variant, request, outcome", &[]), "{{variant}} {{request}}: {{outcome}}"),
                    Panel::lines("Response p99", "From the intended start to the end of the answer. Whatever waits before the server is in it.", "s")
                        .query(quantile(0.99, RESPONSE, "variant, request", &[]), "{{variant}} {{request}}"),
                    Panel::lines("Response p50", "The same for the middle of all requests.", "s")
                        .query(quantile(0.5, RESPONSE, "variant, request", &[]), "{{variant}} {{request}}"),
                    Panel::lines("In flight", "Requests that were sent and have no answer yet.", "short")
                        .query("sum by (exercise, variant) (stampede_loadgen_in_flight{$scope})", legend("")),
                    Panel::heatmap("Responses", "Every response, in the buckets of the histogram.", "reqps")
                        .query(rate("stampede_loadgen_response_duration_seconds_bucket", "le", &[]), "{{le}}"),
                ],
            },
        ],
    }
}
