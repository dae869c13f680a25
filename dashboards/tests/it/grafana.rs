//! The rules of Grafana's dashboard linter, and our own conventions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use target_app::catalogue::{Kind, Variant};
use target_app::exercises::EXERCISES;

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
            let own = targets(panel).iter().filter(|target| !target["datasource"].is_null());
            assert_eq!(own.count(), 0, "{name}, {}: a query asks the panel's data source", panel["title"]);
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
        let links = [exercise.alert.name.to_owned(), format!("docs/exercises/{}.md", exercise.id)];
        assert!(links.iter().all(|link| words.contains(link)), "{}", exercise.id);
    }
}

/// An override of a panel.
struct Override<'a> {
    pattern: jsonschema::Validator,
    properties: &'a [Value],
}

fn overrides(panel: &Value) -> Vec<Override<'_>> {
    let rules = list(&panel["fieldConfig"]["overrides"]).iter().map(|rule| {
        let (matcher, properties) = (&rule["matcher"], list(&rule["properties"]));
        assert_eq!(matcher["id"], "byRegexpOrNames", "{rule}");
        let pattern = text(&matcher["options"]["pattern"]);
        let pattern = pattern.strip_prefix('/').and_then(|pattern| pattern.strip_suffix('/'));
        // A pattern of JSON Schema is one of JavaScript, as Grafana's are.
        let pattern = json!({ "pattern": pattern.expect("slashes around a pattern") });
        Override { pattern: jsonschema::draft7::new(&pattern).expect("a pattern"), properties }
    });
    rules.collect()
}

/// What is set for the series of that name: of several overrides the last one counts.
fn overridden<'a>(overrides: &[Override<'a>], property: &str, series: &str) -> Option<&'a Value> {
    let series = json!(series);
    let those = overrides.iter().filter(|rule| rule.pattern.is_valid(&series));
    let set = those.flat_map(|rule| rule.properties).filter(|set| set["id"] == property);
    set.map(|set| &set["value"]).next_back()
}

/// The name of a series: the legend with that variant, and something misleading for all other labels.
fn series(legend: &str, variant: &str) -> String {
    let named = legend.replace("{{variant}}", variant);
    let mut parts = named.split("{{");
    let start = parts.next().unwrap_or_default().to_owned();
    parts.fold(start, |name, part| name + "buggy fixed" + part.split_once("}}").expect("a label").1)
}

/// Panels of lines, with the legends of their queries.
fn lines(dashboard: &Value) -> impl Iterator<Item = (&Value, Vec<&str>)> {
    let lines = panels(dashboard).filter(|panel| panel["type"] == "timeseries");
    lines.map(|panel| (panel, targets(panel).iter().map(|target| text(&target["legendFormat"])).collect()))
}

/// The colour of each variant's lines, which are the same in all panels.
fn colors<'a>(dashboard: &'a Value, variants: &[&'static Variant]) -> BTreeMap<&'static str, &'a str> {
    let mut colors = BTreeMap::new();
    for (panel, legends) in lines(dashboard) {
        let overrides = overrides(panel);
        for legend in legends {
            assert!(legend.starts_with("{{variant}}"), "{}: {legend}", panel["title"]);
            for variant in variants {
                let series = series(legend, variant.name);
                let color = overridden(&overrides, "color", &series).map(|color| text(&color["fixedColor"]));
                let color = color.unwrap_or_else(|| panic!("{}: {series:?} has no colour", panel["title"]));
                assert_eq!(*colors.entry(variant.name).or_insert(color), color, "{series:?}");
            }
        }
    }
    colors
}

#[test]
fn every_line_of_a_variant_has_the_colour_of_its_kind() {
    for (_, dashboard) in dashboards() {
        let exercise = EXERCISES.iter().find(|exercise| dashboard["uid"] == exercise.id);
        let variants: Vec<&Variant> = match exercise {
            Some(exercise) => exercise.variants.iter().collect(),
            None => EXERCISES.iter().flat_map(|exercise| exercise.variants).collect(),
        };
        let colors = colors(&dashboard, &variants);
        for variant in &variants {
            let color = colors[variant.name];
            match variant.kind {
                Kind::Buggy => assert_eq!(color, "red", "{}", variant.name),
                Kind::Fixed => assert_eq!(color, "green", "{}", variant.name),
                Kind::Tempting => assert!(!["red", "green"].contains(&color), "{}", variant.name),
            }
        }
        if exercise.is_some() {
            let different: BTreeSet<&str> = colors.values().copied().collect();
            assert_eq!(different.len(), variants.len(), "{colors:?}");
        }
    }
}

#[test]
fn no_other_line_has_the_colour_of_buggy_or_fixed() {
    for (name, dashboard) in dashboards() {
        for (panel, _) in lines(&dashboard) {
            let overrides = overrides(panel);
            for other in ["buggy-too", "not-buggy", "not buggy", "fixed-too", "not-fixed", "not fixed"] {
                let color = overridden(&overrides, "color", other).map(|color| text(&color["fixedColor"]));
                assert!(!matches!(color, Some("red" | "green")), "{name}: {other} is {color:?}");
            }
        }
    }
}

#[test]
fn dashboards_of_all_exercises_do_not_grow_with_the_names_of_variants() {
    let variants: Vec<&Variant> = EXERCISES.iter().flat_map(|exercise| exercise.variants).collect();
    for (name, dashboard) in dashboards().iter().filter(|(name, _)| name.starts_with("stampede-")) {
        let overrides = panels(dashboard).flat_map(|panel| list(&panel["fieldConfig"]["overrides"]));
        for pattern in overrides.map(|rule| text(&rule["matcher"]["options"]["pattern"])) {
            let mut tempting = variants.iter().filter(|variant| variant.kind == Kind::Tempting);
            assert!(!tempting.any(|variant| pattern.contains(variant.name)), "{name}: {pattern}");
        }
    }
}

#[test]
fn lines_of_one_variant_that_are_of_different_queries_differ_in_style() {
    for (name, dashboard) in dashboards() {
        for (panel, legends) in lines(&dashboard) {
            let overrides = overrides(panel);
            let styles = legends.iter().map(|legend| {
                let styles = overridden(&overrides, "custom.lineStyle", &series(legend, "fixed"));
                format!("{styles:?}")
            });
            let different: BTreeSet<String> = styles.collect();
            assert_eq!(different.len(), legends.len(), "{name}, {}: {different:?}", panel["title"]);
        }
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
