//! Every expression, parsed: it names metrics that are exported, and labels that they have.

use std::collections::{BTreeMap, BTreeSet};

use loadgen_metrics::METRICS;
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};
use serde_json::Value;
use target_app::exercises::all_metrics;
use target_app::telemetry::MetricKind;

use dashboards::grafana::with_all_chosen;

use crate::support::{dashboards, list, panels, text};

/// What Prometheus adds to every series of a target.
const TARGET: [&str; 5] = ["job", "instance", "exercise", "variant", "run_id"];

type Labels = BTreeSet<String>;

/// A series that exists.
struct Known {
    labels: Labels,
    /// It only grows, so that nothing but a rate of it means something.
    grows: bool,
}

fn labels<'a>(names: impl IntoIterator<Item = &'a str>) -> Labels {
    names.into_iter().map(str::to_owned).collect()
}

fn known() -> BTreeMap<String, Known> {
    let mut known = BTreeMap::new();
    // The generator is a target without an exercise; its series say for themselves what they are about.
    let of_generator = METRICS.iter().map(|metric| (*metric, &TARGET[..2]));
    for (metric, target) in all_metrics().map(|metric| (metric, &TARGET[..])).chain(of_generator) {
        for series in metric.series() {
            let edge = series.ends_with("_bucket").then_some("le");
            let labels = labels(metric.labels.iter().chain(target).copied().chain(edge));
            known.insert(series, Known { labels, grows: metric.kind != MetricKind::Gauge });
        }
    }
    known.insert("up".into(), Known { labels: labels(TARGET), grows: false });
    let alert = ["alertname", "alertstate", "severity", "window"];
    known.insert("ALERTS".into(), Known { labels: labels(TARGET.into_iter().chain(alert)), grows: false });
    for rule in rules() {
        if let Some(record) = rule["record"].as_str() {
            let labels = labels_of(&parse(text(&rule["expr"])), &known);
            known.insert(record.into(), Known { labels, grows: false });
        }
    }
    known
}

/// All rules, recording ones first.
fn rules() -> Vec<Value> {
    let files = dashboards::generate();
    let rules = ["recording", "alerts"].into_iter().flat_map(|name| {
        let file = files.get(&format!("dashboards/prometheus/rules/{name}.yml")).expect("a rules file");
        let file: Value = serde_saphyr::from_str(file).expect("YAML");
        list(&file["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect::<Vec<_>>()
    });
    rules.collect()
}

fn parse(expr: &str) -> Expr {
    parser::parse(&with_all_chosen(expr)).unwrap_or_else(|error| panic!("{expr}: {error}"))
}

/// The labels that the result can have. Panics where an expression asks for a metric or a label that does not exist, or
/// for a counter without a rate.
fn labels_of(expr: &Expr, known: &BTreeMap<String, Known>) -> Labels {
    let go = |expr: &Expr| labels_of(expr, known);
    match expr {
        Expr::VectorSelector(selector) => {
            let series = of_selector(selector, known);
            assert!(!series.grows, "{selector} only grows: ask for its rate");
            series.labels.clone()
        }
        Expr::MatrixSelector(matrix) => of_selector(&matrix.vs, known).labels.clone(),
        Expr::Aggregate(aggregate) => {
            let inner = go(&aggregate.expr);
            match &aggregate.modifier {
                Some(LabelModifier::Include(by)) => {
                    for label in &by.labels {
                        assert!(inner.contains(label), "{expr} aggregates by {label}, which is not there");
                    }
                    by.labels.iter().cloned().collect()
                }
                _ => panic!("{expr} says not by what it aggregates"),
            }
        }
        Expr::Call(call) => {
            let mut result: Labels =
                call.args.args.iter().filter(|arg| !is_scalar(arg)).flat_map(|arg| go(arg)).collect();
            if call.func.name == "histogram_quantile" {
                assert!(result.remove("le"), "{expr} has no buckets");
            }
            result
        }
        Expr::Binary(binary) => {
            let sides: Vec<Labels> = [&binary.lhs, &binary.rhs]
                .into_iter()
                .filter(|side| !is_scalar(side))
                .map(|side| go(side))
                .collect();
            if let [left, right] = sides.as_slice() {
                assert_eq!(left, right, "the sides of {expr} would never match");
            }
            sides.into_iter().next().unwrap_or_default()
        }
        Expr::Paren(paren) => go(&paren.expr),
        Expr::Unary(unary) => go(&unary.expr),
        Expr::Subquery(subquery) => go(&subquery.expr),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Labels::new(),
        Expr::Extension(_) => panic!("{expr} is not PromQL"),
    }
}

fn is_scalar(expr: &Expr) -> bool {
    matches!(expr, Expr::NumberLiteral(_) | Expr::StringLiteral(_))
}

fn of_selector<'a>(selector: &VectorSelector, known: &'a BTreeMap<String, Known>) -> &'a Known {
    let name = selector.name.as_deref().unwrap_or_else(|| panic!("{selector} names no metric"));
    let series = known.get(name).unwrap_or_else(|| panic!("nobody exports {name}"));
    for matcher in &selector.matchers.matchers {
        assert!(series.labels.contains(&matcher.name), "{name} has no label {}", matcher.name);
    }
    series
}

#[test]
fn every_panel_asks_for_metrics_and_labels_that_exist() {
    let known = known();
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for target in list(&panel["targets"]) {
                let labels = labels_of(&parse(text(&target["expr"])), &known);
                for label in placeholders(text(&target["legendFormat"])) {
                    assert!(labels.contains(label), "{name}, {}: the legend has {label}", panel["title"]);
                }
            }
        }
        for annotation in list(&dashboard["annotations"]["list"]) {
            let labels = labels_of(&parse(text(&annotation["expr"])), &known);
            for format in ["titleFormat", "textFormat"] {
                for label in placeholders(text(&annotation[format])) {
                    assert!(labels.contains(label), "{name}, {}: {label}", annotation["name"]);
                }
            }
        }
    }
}

#[test]
fn every_variable_is_filled_from_metrics_that_exist() {
    let known = known();
    for (name, dashboard) in dashboards() {
        for variable in &list(&dashboard["templating"]["list"])[1..] {
            let query = text(&variable["query"]);
            let (selector, label) = query
                .strip_prefix("label_values(")
                .and_then(|query| query.strip_suffix(')')?.rsplit_once(", "))
                .unwrap_or_else(|| panic!("{name}: {query}"));
            let Expr::VectorSelector(selector) = parse(selector) else { panic!("{name}: {query}") };
            let by_name = selector.matchers.matchers.iter().filter(|matcher| matcher.name == "__name__");
            let names: Vec<&str> = by_name.flat_map(|matcher| matcher.value.split('|')).collect();
            assert!(!names.is_empty(), "{name}: {query}");
            for series in names {
                assert!(known[series].labels.contains(label), "{name}: {series} has no {label}");
            }
        }
    }
}

#[test]
fn every_rule_asks_for_metrics_and_labels_that_exist() {
    let known = known();
    let rules = rules();
    assert!(
        rules.iter().any(|rule| rule["record"].is_string())
            && rules.iter().any(|rule| rule["alert"].is_string())
    );
    for rule in &rules {
        let expr = text(&rule["expr"]);
        let labels = match expr {
            // The one alert that needs no data.
            "vector(1)" => Labels::new(),
            expr => labels_of(&parse(expr), &known),
        };
        let texts = rule["annotations"].as_object().into_iter().flatten();
        for label in texts.flat_map(|(_, text)| template_labels(text.as_str().expect("a string"))) {
            assert!(labels.contains(label), "{} speaks of {label}", rule["alert"]);
        }
    }
}

#[test]
fn what_does_not_exist_is_found() {
    let known = known();
    for expr in [
        "sum by (variant) (http_requests_total)",
        r#"stampede_oversold_units{tenant="one"}"#,
        "sum by (http_route) (http_server_active_requests)",
        "http_server_request_duration_seconds_count",
        "histogram_quantile(0.9, sum by (variant) (rate(stampede_runtime_lag_seconds_bucket[1m])))",
        "sum by (variant) (up) / sum by (instance) (up)",
        "sum(up)",
    ] {
        let parsed = parse(expr);
        let asked = std::panic::AssertUnwindSafe(|| labels_of(&parsed, &known));
        let found = std::panic::catch_unwind(asked);
        assert!(found.is_err(), "{expr}");
    }
}

/// The labels in a legend such as `{{variant}} p99`.
fn placeholders(format: &str) -> impl Iterator<Item = &str> {
    format.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0))
}

/// The labels in a template such as `{{ $labels.variant }}`.
fn template_labels(template: &str) -> impl Iterator<Item = &str> {
    placeholders(template).filter_map(|inner| inner.trim().strip_prefix("$labels."))
}
