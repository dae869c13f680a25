//! Grafana's own JSON schemas of a dashboard and of each kind of panel.
//!
//! They are data of another project and not part of this one. Where they stand beside it, in `shared/grafana-schema`,
//! they are used; elsewhere these tests are the only ones that `STAMPEDE_REQUIRE=all` does not demand.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{dashboards, list, panels, root, skipped};

fn folder() -> Option<PathBuf> {
    let folder = root().parent()?.join("shared/grafana-schema");
    folder.is_dir().then_some(folder)
}

/// The schema in a file, or one definition of it.
fn schema(file: &str, definition: Option<&str>) -> Option<jsonschema::Validator> {
    let path = folder()?.join(format!("{file}.jsonschema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut schema: Value = serde_json::from_str(&text).expect("JSON");
    if let Some(definition) = definition {
        assert!(schema["definitions"][definition].is_object(), "{} defines no {definition}", path.display());
        schema["$ref"] = json!(format!("#/definitions/{definition}"));
    }
    Some(jsonschema::draft7::new(&schema).expect("a schema"))
}

fn assert_valid(schema: &jsonschema::Validator, value: &Value, what: &str) {
    let errors: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}:\n{}", errors.join("\n"));
}

const NOT_THERE: &str = "Grafana's schemas do not stand beside the project";

#[test]
fn every_dashboard_satisfies_grafanas_schema() {
    let Some(schema) = schema("dashboard", None) else {
        return skipped("every_dashboard_satisfies_grafanas_schema", NOT_THERE);
    };
    for (name, dashboard) in dashboards() {
        assert_valid(&schema, &dashboard, &name);
    }
    let mut wrong = dashboards().remove(0).1;
    wrong["panels"][1]["gridPos"]["w"] = json!(25);
    assert!(!schema.is_valid(&wrong), "the schema notices a panel that is too wide");
}

#[test]
fn every_panels_options_satisfy_the_schema_of_its_kind() {
    if folder().is_none() {
        return skipped("every_panels_options_satisfy_the_schema_of_its_kind", NOT_THERE);
    }
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let kind = panel["type"].as_str().expect("a kind");
            let what = format!("{name}, {}", panel["title"]);
            assert_valid(
                &schema(kind, Some("Options")).expect("the folder is there"),
                &panel["options"],
                &what,
            );
            let custom = &panel["fieldConfig"]["defaults"]["custom"];
            if custom.is_object() {
                assert_valid(&schema(kind, Some("FieldConfig")).expect("the folder is there"), custom, &what);
            }
        }
    }
}

#[test]
fn every_query_satisfies_the_schema_of_prometheus_queries() {
    let Some(schema) = schema("prometheus", None) else {
        return skipped("every_query_satisfies_the_schema_of_prometheus_queries", NOT_THERE);
    };
    for (name, dashboard) in dashboards() {
        for target in panels(&dashboard).flat_map(|panel| list(&panel["targets"])) {
            assert_valid(&schema, target, &name);
        }
    }
}
