//! The rules of Grafana's dashboard linter, and our own conventions.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use target_app::catalogue::EXERCISES;

use crate::support::{dashboards, list, panels, text};

/// Units that Grafana knows, of those that we use: a misspelt one is drawn as a suffix and not as a unit.
const UNITS: [&str; 7] = ["short", "s", "reqps", "cps", "ops", "percentunit", "none"];

/// The queries of a panel.
fn targets(panel: &Value) -> &[Value] {
    list(&panel["targets"])
}

#[test]
fn dashboards_are_classic_stable_and_not_editable() {
    for (name, dashboard) in dashboards() {
        assert_eq!(dashboard["uid"], name.as_str(), "an exercise's dashboard is found by its id");
        assert!((8..=40).contains(&name.len()), "{name}: Grafana takes a uid of 8 to 40 characters");
        assert!(dashboard["schemaVersion"].as_u64().unwrap() <= 42, "{name}");
        assert_eq!(dashboard["editable"], false, "{name}");
        assert_eq!(dashboard["graphTooltip"], 1, "{name}");
        assert!(dashboard.get("id").is_none(), "{name}: an id belongs to one Grafana");
        assert!(
            !text(&dashboard["title"]).is_empty() && !text(&dashboard["description"]).is_empty(),
            "{name}"
        );
    }
}

#[test]
fn variables_choose_data_source_job_instance_and_variant() {
    for (name, dashboard) in dashboards() {
        let variables = list(&dashboard["templating"]["list"]);
        let names: Vec<&str> = variables.iter().map(|variable| text(&variable["name"])).collect();
        assert_eq!(names, ["datasource", "job", "instance", "variant"], "{name}");
        assert_eq!(
            (&variables[0]["type"], &variables[0]["query"]),
            (&json!("datasource"), &json!("prometheus"))
        );
        for variable in &variables[1..] {
            assert_eq!(variable["type"], "query", "{name}");
            assert_eq!(variable["datasource"]["uid"], "${datasource}", "{name}");
            assert_eq!((&variable["multi"], &variable["includeAll"]), (&json!(true), &json!(true)), "{name}");
            assert_eq!(variable["refresh"], 2, "{name}: servers come and go within the time shown");
            assert!(
                !text(&variable["label"]).is_empty() && !text(&variable["allValue"]).is_empty(),
                "{name}"
            );
        }
    }
}

#[test]
fn every_variable_is_used_by_every_query() {
    for (name, dashboard) in dashboards() {
        for target in panels(&dashboard).flat_map(targets) {
            let expr = text(&target["expr"]);
            for matcher in [r#"job=~"$job""#, r#"instance=~"$instance""#, r#"variant=~"$variant""#] {
                assert_eq!(
                    expr.matches(matcher).count(),
                    // A route may have braces as well.
                    expr.split('"').step_by(2).flat_map(|code| code.matches('{')).count(),
                    "{name}: each selector has {matcher}: {expr}"
                );
            }
        }
    }
}

#[test]
fn no_data_source_is_hard_coded() {
    for (name, dashboard) in dashboards() {
        let expected = json!({ "type": "prometheus", "uid": "${datasource}" });
        for panel in panels(&dashboard).filter(|panel| panel["type"] != "text") {
            assert_eq!(panel["datasource"], expected, "{name}");
            assert!(targets(panel).iter().all(|target| target["datasource"] == expected), "{name}");
        }
        for annotation in list(&dashboard["annotations"]["list"]) {
            assert_eq!(annotation["datasource"], expected, "{name}");
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let title = text(&panel["title"]);
            assert!(!title.is_empty(), "{name}");
            let description = text(&panel["description"]);
            assert!(description.ends_with('.'), "{name}, {title}: {description}");
            if panel["type"] == "text" {
                continue;
            }
            let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
            assert!(UNITS.contains(&unit), "{name}, {title}: {unit}");
            assert!(!targets(panel).is_empty(), "{name}, {title}");
        }
    }
}

#[test]
fn rates_follow_the_scrape_interval() {
    for (name, dashboard) in dashboards() {
        for target in panels(&dashboard).flat_map(targets) {
            let expr = text(&target["expr"]);
            let ranges = expr.matches('[').count();
            assert_eq!(expr.matches("[$__rate_interval]").count(), ranges, "{name}: {expr}");
            assert!(!expr.contains("$scope") && !expr.contains("$window"), "{name}: {expr}");
        }
    }
}

#[test]
fn every_query_of_a_panel_has_a_name_and_a_legend() {
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let letters: BTreeSet<&str> =
                targets(panel).iter().map(|target| text(&target["refId"])).collect();
            assert_eq!(letters.len(), targets(panel).len(), "{name}");
            assert!(
                targets(panel).iter().all(|target| text(&target["legendFormat"]).contains("{{")),
                "{name}"
            );
        }
    }
}

#[test]
fn panels_do_not_overlap_and_stay_within_the_grid() {
    for (name, dashboard) in dashboards() {
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            let side = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(side("w") > 0 && side("h") > 0 && side("x") + side("w") <= 24, "{name}: {panel}");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(taken.insert((x, y)), "{name}: {} lies on another panel", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn panel_ids_are_unique() {
    for (name, dashboard) in dashboards() {
        let ids: Vec<u64> =
            list(&dashboard["panels"]).iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        let unique: BTreeSet<&u64> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{name}");
        assert!(
            ids.iter().all(|id| (1..=i32::MAX as u64).contains(id)),
            "{name}: Grafana has 32 bits for them"
        );
    }
}

#[test]
fn an_exercises_dashboard_tells_its_variants_apart_and_not_its_cause() {
    for exercise in EXERCISES {
        let dashboards = dashboards();
        let (_, dashboard) = dashboards.iter().find(|(name, _)| name == exercise.id).expect("a dashboard");
        let words = dashboard.to_string();
        assert!(!words.contains(exercise.cause), "{}", exercise.id);
        for target in panels(dashboard).flat_map(targets) {
            assert!(text(&target["legendFormat"]).starts_with("{{variant}}"), "{}", exercise.id);
        }
        let lines = panels(dashboard).filter(|panel| panel["type"] == "timeseries");
        for panel in lines {
            let overrides = list(&panel["fieldConfig"]["overrides"]);
            assert_eq!(overrides.len(), exercise.variants.len(), "{}: a colour a variant", exercise.id);
        }
        let links = [exercise.alert.name.to_owned(), format!("docs/exercises/{}.md", exercise.id)];
        assert!(links.iter().all(|link| words.contains(link)), "{}", exercise.id);
    }
}

#[test]
fn the_name_of_an_alert_does_not_give_the_cause_away() {
    for exercise in EXERCISES {
        let words: Vec<String> = exercise.id.split('-').map(str::to_owned).collect();
        let name = exercise.alert.name.to_lowercase();
        assert!(words.iter().any(|word| name.contains(word.as_str())), "{name} is about {}", exercise.id);
    }
}
