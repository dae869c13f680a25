//! Rules and configuration as Prometheus' and Alertmanager's own tools judge them, and where they point people to.

use std::collections::BTreeSet;
use std::path::Path;

use dashboards::docs::Docs;
use dashboards::prometheus::{RUNBOOKS, alerts, runbook};
use target_app::exercises::EXERCISES;

use crate::support::{root, said, skip, tool};

/// Runs a tool on the committed files, and fails with what it said when it did not like them.
fn judged(test: &str, program: &str, arguments: &[&str]) {
    match tool(program, arguments, &root()) {
        None => skip(
            test,
            &format!(
                "{program} is missing; Debian's packages prometheus and prometheus-alertmanager have it"
            ),
        ),
        Some(output) => assert!(output.status.success(), "{program} {arguments:?}:\n{}", said(&output)),
    }
}

const RULES: [&str; 2] =
    ["dashboards/prometheus/rules/recording.yml", "dashboards/prometheus/rules/alerts.yml"];

#[test]
fn promtool_accepts_the_rules() {
    judged("promtool_accepts_the_rules", "promtool", &["check", "rules", "--lint-fatal", RULES[0], RULES[1]]);
}

#[test]
fn promtool_accepts_the_configuration() {
    judged(
        "promtool_accepts_the_configuration",
        "promtool",
        &["check", "config", "dashboards/prometheus/prometheus.yml"],
    );
}

#[test]
fn every_alert_fires_stays_silent_and_says_nothing_without_data() {
    judged(
        "every_alert_fires_stays_silent_and_says_nothing_without_data",
        "promtool",
        &["test", "rules", "dashboards/prometheus/tests/alerts.yml"],
    );
}

#[test]
fn amtool_accepts_the_routes() {
    judged(
        "amtool_accepts_the_routes",
        "amtool",
        &["check-config", "dashboards/alertmanager/alertmanager.yml"],
    );
}

#[test]
fn amtool_routes_by_severity() {
    for (severity, receiver) in [("critical", "page"), ("warning", "ticket"), ("info", "record")] {
        let arguments = [
            "config",
            "routes",
            "test",
            "--config.file=dashboards/alertmanager/alertmanager.yml",
            &format!("--verify.receivers={receiver}"),
            &format!("severity={severity}"),
        ];
        judged("amtool_routes_by_severity", "amtool", &arguments);
    }
}

/// A case that cannot fail would let a wrong rule through.
#[test]
fn promtool_notices_a_wrong_rule() {
    let folder = tempfile::tempdir().unwrap();
    dashboards::generate().write(folder.path()).unwrap();
    let rules = folder.path().join("dashboards/prometheus/rules/alerts.yml");
    let right = std::fs::read_to_string(&rules).unwrap();
    let wrong = right.replace("stampede_oversold_units", "stampede_units_sold_total");
    assert_ne!(right, wrong);
    std::fs::write(&rules, wrong).unwrap();
    match tool("promtool", &["test", "rules", "dashboards/prometheus/tests/alerts.yml"], folder.path()) {
        None => {
            skip("promtool_notices_a_wrong_rule", "promtool is missing; Debian's package prometheus has it")
        }
        Some(output) => {
            assert!(
                !output.status.success() && said(&output).contains("StampedeOversoldStock"),
                "{}",
                said(&output)
            );
        }
    }
}

#[test]
fn every_alert_has_a_heading_in_the_runbook() {
    let path = Path::new("docs").join(RUNBOOKS);
    let page = std::fs::read_to_string(root().join(&path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let headings: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for alert in alerts() {
        assert!(headings.contains(alert.name), "{} has no heading `## {}`", path.display(), alert.name);
        // As Markdown makes an anchor of a heading of one word.
        let link = Docs::default().page(&runbook(alert.name));
        assert_eq!(link, format!("{}#{}", path.display(), alert.name.to_lowercase()));
    }
}

#[test]
fn every_exercise_has_an_alert_of_its_own() {
    let alerts = alerts();
    for exercise in EXERCISES {
        let own = alerts.iter().filter(|alert| alert.name == exercise.alert.name).count();
        assert_eq!(own, 1, "{}", exercise.id);
    }
    let rules: BTreeSet<_> = alerts.iter().map(|alert| (alert.name, alert.labels.clone())).collect();
    assert_eq!(rules.len(), alerts.len(), "rules of one name differ in a label");
}
