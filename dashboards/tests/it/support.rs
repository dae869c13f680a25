//! What several tests need: the project's root, the dashboards as JSON, tools that may be missing.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_path_buf()
}

/// Says on standard error that a test did not run. The harness hides what `eprintln!` says in a test that passes.
pub fn skipped(name: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").expect("standard error");
}

/// The same, for a tool that a machine with STAMPEDE_REQUIRE=all has to have.
pub fn skip(name: &str, why: &str) {
    assert!(
        std::env::var("STAMPEDE_REQUIRE").as_deref() != Ok("all"),
        "{name} could not run, and STAMPEDE_REQUIRE=all: {why}"
    );
    skipped(name, why);
}

/// Runs a tool; none when this machine does not have it.
pub fn tool(program: &str, arguments: &[&str], folder: &Path) -> Option<Output> {
    match Command::new(program).args(arguments).current_dir(folder).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

/// What a tool printed, both streams.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every dashboard by its file's name.
pub fn dashboards() -> Vec<(String, Value)> {
    let files = dashboards::generate();
    let dashboards = files.iter().filter(|(path, _)| path.starts_with("dashboards/grafana"));
    dashboards
        .map(|(path, text)| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, serde_json::from_str(text).expect("JSON"))
        })
        .collect()
}

/// The panels of a dashboard, without the headings.
pub fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row")
}

/// An array's items; none of what is not there.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}"))
}
