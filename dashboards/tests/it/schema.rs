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

/// The schema in a file.
fn read(file: &str) -> Option<Value> {
    let path = folder()?.join(format!("{file}.jsonschema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).expect("JSON"))
}

fn schema(file: &str) -> Option<jsonschema::Validator> {
    Some(jsonschema::draft7::new(&read(file)?).expect("a schema"))
}

/// The value as Grafana completes it: what that definition, or one that it refers to, requires has its default where it is
/// left out. A default that is written out is an error.
fn completed(schema: &Value, definition: &Value, value: &Value, what: &str) -> Value {
    if let Some(other) = referred(schema, definition) {
        return completed(schema, other, value, what);
    }
    let mut complete = value.clone();
    for (name, property) in definition["properties"].as_object().into_iter().flatten() {
        let default = &property["default"];
        match value.get(name) {
            None if !default.is_null() && list(&definition["required"]).contains(&json!(name)) => {
                complete[name] = default.clone();
            }
            Some(written) if written == default => panic!("{what}: {name} is {default} by default"),
            Some(written) if written.is_object() => {
                complete[name] = completed(schema, property, written, what);
            }
            _ => {}
        }
    }
    complete
}

/// The definition that one refers to.
fn referred<'a>(schema: &'a Value, definition: &Value) -> Option<&'a Value> {
    let name = definition["$ref"].as_str()?.strip_prefix("#/definitions/")?;
    Some(&schema["definitions"][name])
}

/// Whether a panel's value, once completed, satisfies a definition in the schema of its kind.
fn assert_satisfies(kind: &str, definition: &str, value: &Value, what: &str) {
    let mut schema = read(kind).expect("the folder is there");
    assert!(schema["definitions"][definition].is_object(), "{kind} defines no {definition}");
    let complete = completed(&schema, &schema["definitions"][definition], value, what);
    schema["$ref"] = json!(format!("#/definitions/{definition}"));
    assert_valid(&jsonschema::draft7::new(&schema).expect("a schema"), &complete, what);
}

fn assert_valid(schema: &jsonschema::Validator, value: &Value, what: &str) {
    let errors: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}:\n{}", errors.join("\n"));
}

const NOT_THERE: &str = "Grafana's schemas do not stand beside the project";

#[test]
fn every_dashboard_satisfies_grafanas_schema() {
    let Some(schema) = schema("dashboard") else {
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
            assert_satisfies(kind, "Options", &panel["options"], &what);
            let custom = &panel["fieldConfig"]["defaults"]["custom"];
            if custom.is_object() {
                assert_satisfies(kind, "FieldConfig", custom, &what);
            }
        }
    }
}

#[test]
fn every_query_satisfies_the_schema_of_prometheus_queries() {
    let Some(schema) = schema("prometheus") else {
        return skipped("every_query_satisfies_the_schema_of_prometheus_queries", NOT_THERE);
    };
    for (name, dashboard) in dashboards() {
        for target in panels(&dashboard).flat_map(|panel| list(&panel["targets"])) {
            assert_valid(&schema, target, &name);
        }
    }
}
