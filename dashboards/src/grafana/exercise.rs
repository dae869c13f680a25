//! The dashboard of one exercise: symptom first, the signal that exposes the defect last, the cause nowhere.

use target_app::catalogue::{Exercise, Signal};

use super::dashboard::{Dashboard, Section};
use super::load_generator::{RESPONSE, TIMER_LAG};
use super::panel::Panel;
use crate::docs::Docs;
use crate::objectives::{CHECKOUT_AVAILABILITY, GENERATOR_LAG_SECONDS, REQUEST_P99_SECONDS, budget};
use crate::prometheus::runbook;
use crate::promql::{quantile, rate, share};

pub fn dashboard(exercise: &'static Exercise, docs: &Docs) -> Dashboard {
    let Exercise { id, title, symptom, .. } = exercise;
    Dashboard {
        uid: (*id).into(),
        title: format!("Stampede: {}", title.to_lowercase()),
        description: (*symptom).into(),
        // Servers and the load generator alike.
        chosen_from: "http_server_active_requests|stampede_loadgen_requests_intended_total",
        exercise: Some(exercise),
        sections: vec![
            Section { title: "What to look for".into(), panels: vec![guide(exercise, docs)] },
            Section { title: "Verdict".into(), panels: verdict(exercise) },
            Section {
                title: "Rate, errors, duration, by the server's own clock".into(),
                panels: exercise.routes.iter().flat_map(|route| red(route)).collect(),
            },
            Section {
                title: "What the client sees".into(),
                panels: vec![
                    Panel::lines(
                        "Response p99",
                        "From the moment when the client wanted to start to the end of the answer.",
                        "s",
                    )
                    .query(quantile(0.99, RESPONSE, "variant, request", &[]), "{{variant}} {{request}}"),
                    Panel::lines("Outcomes", "What came of the requests, per second.", "reqps").query(
                        rate("stampede_loadgen_requests_total", "variant, request, outcome", &[]),
                        "{{variant}} {{request}}: {{outcome}}",
                    ),
                    Panel::lines("Generator lag p99", "Beyond the limit, do not trust the other two.", "s")
                        .query(quantile(0.99, TIMER_LAG, "variant", &[]), "{{variant}}")
                        .limit(GENERATOR_LAG_SECONDS),
                ],
            },
            Section { title: "The signal that exposes it".into(), panels: signals(exercise.signals) },
        ],
    }
}

/// What a reader who knows nothing of the exercise needs. The cause is on its page, folded away.
fn guide(exercise: &Exercise, docs: &Docs) -> Panel {
    let Exercise { id, symptom, signals, alert, variants, .. } = exercise;
    let names: Vec<String> = variants.iter().map(|variant| format!("`{}`", variant.name)).collect();
    let markdown = format!(
        "**{symptom}**\n\n\
         1. Is it there? The verdict, below, is the worst moment of each variant: {names}.\n\
         2. Who notices? Compare what the server says of its routes with what the client sees. Where the two differ, ask why.\n\
         3. What moves with it? *{signal}*, at the end: {description}\n\n\
         Drive it: `stampede compare {id} --duration 20s --rounds 1 --metrics-port 9646`. Page with hints: {page}. \
         Alert: `{alert_name}`, runbook {runbook}.",
        names = names.join(", "),
        signal = signals[0].title,
        description = signals[0].description,
        alert_name = alert.name,
        page = docs.markdown(&format!("exercises/{id}.md")),
        runbook = docs.markdown(&runbook(alert.name)),
    );
    Panel::text("How to read this dashboard", "The way from the symptom to the signal.", markdown).size(24, 7)
}

fn verdict(exercise: &Exercise) -> Vec<Panel> {
    let signal = &exercise.signals[0];
    let alert = &exercise.alert;
    let mut panels = vec![
        Panel::worst(format!("{}, at worst", signal.title), signal.description, signal.unit)
            .query(signal.promql, "{{variant}}")
            .limit(signal.limit),
    ];
    if alert.promql != signal.promql {
        panels.push(
            Panel::worst(
                format!("What {} watches, at worst", alert.name),
                format!("{}. The alert fires beyond the limit.", alert.summary),
                alert.unit,
            )
            .query(alert.promql, "{{variant}}")
            .limit(alert.above),
        );
    }
    panels.push(
        Panel::last(
            "Checks that hold",
            "Of the checks that the load ends with, by variant: 100 % is a clean verdict. It appears when a round is over.",
            "percentunit",
        )
        .query("avg by (variant) (stampede_check_held{$scope})", "{{variant}}")
        .at_least(1.0),
    );
    let headline = exercise.headline;
    panels.push(
        Panel::worst(
            format!("Client's p99 of {headline}, at worst"),
            "Of the request that the exercise is about, with the time until it was given up.",
            "s",
        )
        .query(quantile(0.99, RESPONSE, "variant", &[&format!(r#"request="{headline}""#)]), "{{variant}}"),
    );
    let width = 24 / panels.len() as u32;
    let mut panels: Vec<Panel> = panels.into_iter().map(|panel| panel.size(width, 5)).collect();
    panels.push(
        Panel::matrix(
            "Each check",
            format!(
                "What the load ends with, in the last round of each variant. It appears when a round is over. Predicted to fail: {}.",
                predictions(exercise).join("; ")
            ),
            "check",
            "variant",
        )
        .query("min by (check, variant) (stampede_check_held{$scope})", "{{variant}}: {{check}}")
        .size(24, 9),
    );
    panels
}

/// Each variant with the checks that follow from its defect.
fn predictions(exercise: &Exercise) -> Vec<String> {
    let predicted = exercise.variants.iter().filter(|variant| !variant.must_fail.is_empty());
    predicted.map(|variant| format!("{} {}", variant.name, variant.must_fail.join(", "))).collect()
}

/// Rate, errors and duration of a route, given as `METHOD /path`.
fn red(route: &str) -> [Panel; 3] {
    let (method, path) = route.split_once(' ').expect("a route is `METHOD /path`");
    let (method, path) = (format!(r#"http_request_method="{method}""#), format!(r#"http_route="{path}""#));
    let requests = "http_server_request_duration_seconds_count";
    let all = rate(requests, "variant", &[&method, &path]);
    let failed = rate(requests, "variant", &[&method, &path, r#"http_response_status_code=~"5..""#]);
    [
        Panel::lines(format!("{route}: rate"), "Answers per second, by status.", "reqps").query(
            rate(requests, "variant, http_response_status_code", &[&method, &path]),
            "{{variant}} {{http_response_status_code}}",
        ),
        Panel::lines(
            format!("{route}: errors"),
            "Share of answers that are a 5xx, refusals with 503 included.",
            "percentunit",
        )
        .query(share(&failed, &all), "{{variant}}")
        .limit(budget(CHECKOUT_AVAILABILITY)),
        Panel::lines(
            format!("{route}: p99"),
            "By the server's own clock: what waits before the server is not in it.",
            "s",
        )
        .query(
            quantile(0.99, "http_server_request_duration_seconds", "variant", &[&method, &path]),
            "{{variant}}",
        )
        .limit(REQUEST_P99_SECONDS),
    ]
}

/// The first is the one that exposes the defect, so it gets the most room.
fn signals(signals: &[Signal]) -> Vec<Panel> {
    let panels = signals.iter().enumerate().map(|(n, signal)| {
        let panel = Panel::lines(signal.title, signal.description, signal.unit)
            .query(signal.promql, legend(signal.promql))
            .limit(signal.limit);
        if n == 0 { panel.size(24, 10) } else { panel.size(12, 8) }
    });
    panels.collect()
}

/// The labels that an expression aggregates by, without the buckets of a histogram, as a legend.
fn legend(promql: &str) -> String {
    let labels = promql
        .split_once("by (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map_or("variant", |(labels, _)| labels);
    let labels = labels.split(", ").filter(|label| *label != "le").map(|label| format!("{{{{{label}}}}}"));
    labels.collect::<Vec<_>>().join(" ")
}
