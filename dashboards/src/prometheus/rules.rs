//! The rule files.

use std::time::Duration;

use serde::Serialize;

use super::{AlertRule, GENERATED, alerts, checkout, servers};
use crate::docs::Docs;
use crate::objectives::BURNS;

/// Where the alerts' headings are.
pub const RUNBOOKS: &str = "runbooks/README.md";

#[derive(Serialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<&'static str>,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rule {
    Recording {
        record: String,
        expr: String,
    },
    Alerting {
        alert: &'static str,
        expr: String,
        #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
        hold: Option<String>,
        labels: Mapping,
        annotations: Mapping,
    },
}

/// A YAML mapping in the order in which it was made.
pub(super) struct Mapping(pub Vec<(&'static str, String)>);

impl Serialize for Mapping {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// YAML under the line that says where it comes from.
pub(super) fn yaml(document: &impl Serialize) -> String {
    let text = serde_saphyr::to_string(document).expect("structs and strings can be written as YAML");
    format!("{GENERATED}{text}")
}

/// What is too much to ask again at each look: shares over hours and days.
pub(super) fn recording() -> String {
    let mut windows: Vec<&str> = BURNS.iter().flat_map(|burn| [burn.short, burn.long]).collect();
    let mut seen = std::collections::HashSet::new();
    windows.retain(|window| seen.insert(*window));
    let rules = windows
        .into_iter()
        .flat_map(|window| {
            let scope = servers().over(window);
            [(checkout::ERRORS, checkout::errors()), (checkout::SLOW, checkout::slow())].map(
                |(name, expr)| Rule::Recording { record: format!("{name}{window}"), expr: scope.fill(&expr) },
            )
        })
        .collect();
    // Days do not change within a second.
    yaml(&RuleFile { groups: vec![Group { name: "checkout-objectives", interval: Some("30s"), rules }] })
}

pub(super) fn alerting(docs: &Docs) -> String {
    let mut groups: Vec<Group> = Vec::new();
    for alert in alerts() {
        if groups.last().is_none_or(|group| group.name != alert.group) {
            groups.push(Group { name: alert.group, interval: None, rules: Vec::new() });
        }
        let group = groups.last_mut().expect("there is at least the one just made");
        group.rules.push(Rule::Alerting {
            alert: alert.name,
            hold: (!alert.hold.is_zero()).then(|| seconds(alert.hold)),
            labels: Mapping(alert.all_labels()),
            annotations: Mapping(alert.annotations(docs)),
            expr: alert.expr,
        });
    }
    yaml(&RuleFile { groups })
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

impl AlertRule {
    /// The labels that the rule adds to those of its series.
    pub fn all_labels(&self) -> Vec<(&'static str, String)> {
        let mut labels = vec![("severity", self.severity.to_string())];
        labels.extend(self.labels.iter().cloned());
        labels
    }

    /// The texts that go with it, as templates.
    pub fn annotations(&self, docs: &Docs) -> Vec<(&'static str, String)> {
        vec![
            ("summary", self.summary.clone()),
            ("description", self.description.clone()),
            ("runbook_url", docs.page(&runbook(self.name))),
        ]
    }
}

/// The heading of the alert called `name` in the runbook, seen from the folder `docs`.
pub fn runbook(name: &str) -> String {
    format!("{RUNBOOKS}#{}", name.to_lowercase())
}
