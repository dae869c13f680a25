//! The load as its clients see it, and whether the generator itself can be trusted.

use super::dashboard::{Dashboard, Section};
use super::panel::Panel;
use crate::objectives::GENERATOR_LAG_SECONDS;
use crate::promql::{quantile, rate};

/// From the intended start to the end of the answer's body.
pub const RESPONSE: &str = "stampede_loadgen_response_duration_seconds";

/// How late a user who was free sent a request.
pub const TIMER_LAG: &str = "stampede_loadgen_timer_lag_seconds";

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "stampede-load".into(),
        title: "Stampede: load generator".into(),
        description: "What clients see, from the moment when they wanted to start, and whether the generator kept to its schedule."
            .into(),
        chosen_from: "stampede_loadgen_requests_intended_total",
        exercise: None,
        sections: vec![
            Section { title: "Can it be trusted?".into(), panels: trust() },
            Section { title: "What clients see".into(), panels: clients() },
        ],
    }
}

const BY: &str = "exercise, variant";

fn legend(what: &str) -> String {
    format!("{{{{variant}}}} {{{{exercise}}}}{what}")
}

fn trust() -> Vec<Panel> {
    vec![
        Panel::last(
            "Checks that hold",
            "Of all checks of the last round: 100 % is a clean verdict. It appears when the round is over.",
            "percentunit",
        )
        .query("avg by (exercise, variant) (stampede_check_held{$scope})", legend(""))
        .at_least(1.0)
        .size(8, 5),
        Panel::worst(
            "Timer lag p99, at worst",
            "How late users who were free sent their requests. Beyond the limit, latencies are the generator's own.",
            "s",
        )
        .query(quantile(0.99, TIMER_LAG, BY, &[]), legend(""))
        .limit(GENERATOR_LAG_SECONDS)
        .size(8, 5),
        Panel::worst(
            "Invalid rounds",
            "1 when the generator, not the server, shaped the numbers of the last round.",
            "short",
        )
        .query("max by (exercise, variant) (stampede_loadgen_saturated{$scope})", legend(""))
        .limit(0.0)
        .size(8, 5),
        Panel::lines(
            "Intended and completed",
            "Requests per second. The gap between the two lines is requests without an answer.",
            "reqps",
        )
        .query(rate("stampede_loadgen_requests_intended_total", BY, &[]), legend(" intended"))
        .query(rate("stampede_loadgen_requests_total", BY, &[]), legend(" completed"))
        .size(12, 8),
        Panel::lines(
            "Lag p99",
            "How late requests were sent: the wait for a free user, and the timer. Only the timer is the generator's fault.",
            "s",
        )
        .query(quantile(0.99, "stampede_loadgen_lag_seconds", BY, &[]), legend(""))
        .query(quantile(0.99, TIMER_LAG, BY, &[]), legend(" timer"))
        .limit(GENERATOR_LAG_SECONDS)
        .size(12, 8),
    ]
}

fn clients() -> Vec<Panel> {
    vec![
        Panel::lines(
            "Outcomes",
            "Requests per second by what came of them: ok, refusals that the scenario expects, failures.",
            "reqps",
        )
        .query(
            rate("stampede_loadgen_requests_total", "variant, request, outcome", &[]),
            "{{variant}} {{request}}: {{outcome}}",
        ),
        Panel::lines(
            "Response p99",
            "From the intended start to the end of the answer. Whatever waits before the server is in it.",
            "s",
        )
        .query(quantile(0.99, RESPONSE, "variant, request", &[]), "{{variant}} {{request}}"),
        Panel::lines("Response p50", "The same for the middle of all requests.", "s")
            .query(quantile(0.5, RESPONSE, "variant, request", &[]), "{{variant}} {{request}}"),
        Panel::lines(
            "In flight",
            "Requests that were sent and have no answer yet, and how many there can be at most.",
            "short",
        )
        .query("sum by (exercise, variant) (stampede_loadgen_in_flight{$scope})", legend(""))
        .query("max by (exercise, variant) (stampede_loadgen_users{$scope})", legend(" at most"))
        .size(12, 8),
        Panel::heatmap("Responses", "Every response, in the buckets of the histogram.", "reqps")
            .query(rate(&format!("{RESPONSE}_bucket"), "le", &[]), "{{le}}")
            .size(12, 8),
    ]
}
