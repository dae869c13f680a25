//! Cases for `promtool test rules`: each alert fires, stays silent, and says nothing where there is no data.

use serde::Serialize;

use super::alerts::Case;
use super::rules::{Mapping, yaml};
use super::{AlertRule, alerts};
use crate::docs::Docs;

#[derive(Serialize)]
struct TestFile {
    rule_files: [&'static str; 2],
    evaluation_interval: &'static str,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    name: String,
    interval: &'static str,
    input_series: Vec<Input>,
    alert_rule_test: [Look; 1],
}

#[derive(Serialize)]
struct Input {
    series: String,
    values: String,
}

#[derive(Serialize)]
struct Look {
    eval_time: &'static str,
    alertname: &'static str,
    exp_alerts: Vec<Expected>,
}

#[derive(Serialize)]
struct Expected {
    exp_labels: Mapping,
    exp_annotations: Mapping,
}

pub(super) fn file(docs: &Docs) -> String {
    let alerts = alerts();
    let tests = alerts.iter().flat_map(|alert| {
        let title = |what| match alert.labels.first() {
            Some((_, window)) => format!("{} over {window}: {what}", alert.name),
            None => format!("{}: {what}", alert.name),
        };
        match &alert.case {
            Some(case) => vec![
                test(alert, docs, title("fires"), case, &case.firing, true),
                test(alert, docs, title("stays silent"), case, &case.silent, false),
                test(alert, docs, title("says nothing without data"), case, &[], false),
            ],
            None => vec![test(alert, docs, title("fires without data"), &Case::NO_DATA, &[], true)],
        }
    });
    yaml(&TestFile {
        rule_files: ["../rules/recording.yml", "../rules/alerts.yml"],
        // As often as there are samples: more would only take longer.
        evaluation_interval: "15s",
        tests: tests.collect(),
    })
}

fn test(
    alert: &AlertRule,
    docs: &Docs,
    name: String,
    case: &Case,
    series: &[(String, String)],
    fires: bool,
) -> Test {
    let fill = |template: &str| {
        case.labels.iter().fold(template.to_owned(), |text, (label, value)| {
            text.replace(&format!("{{{{ $labels.{label} }}}}"), value)
        })
    };
    let labels = alert.all_labels().into_iter();
    let expected = Expected {
        exp_labels: Mapping(
            labels.chain(case.labels.iter().map(|(label, value)| (*label, (*value).to_owned()))).collect(),
        ),
        exp_annotations: Mapping(
            alert.annotations(docs).into_iter().map(|(key, text)| (key, fill(&text))).collect(),
        ),
    };
    Test {
        name,
        interval: case.step,
        input_series: series
            .iter()
            .map(|(series, values)| Input { series: series.clone(), values: values.clone() })
            .collect(),
        alert_rule_test: [Look {
            eval_time: case.at,
            alertname: alert.name,
            exp_alerts: if fires { vec![expected] } else { Vec::new() },
        }],
    }
}
