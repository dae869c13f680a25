//! The committed files are those that would be generated now, and the check says so when they are not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dashboards::files::Difference;
use target_app::catalogue::EXERCISES;

use crate::support::root;

#[test]
fn the_committed_files_are_fresh() {
    let differences = dashboards::generate().differences(&root()).unwrap();
    assert_eq!(differences, [], "hint: cargo run -p dashboards");
}

#[test]
fn generating_twice_gives_the_same_bytes() {
    let once: Vec<_> =
        dashboards::generate().iter().map(|(path, text)| (path.to_path_buf(), text.to_owned())).collect();
    let again = dashboards::generate();
    assert!(again.iter().map(|(path, text)| (path.to_path_buf(), text.to_owned())).eq(once));
}

#[test]
fn every_exercise_has_a_dashboard_under_its_id() {
    let files = dashboards::generate();
    let found: BTreeSet<&str> =
        files.iter().filter_map(|(path, _)| path.strip_prefix("dashboards/grafana").ok()?.to_str()).collect();
    let exercises = EXERCISES.iter().map(|exercise| format!("{}.json", exercise.id));
    let general =
        ["stampede-overview", "stampede-saturation", "stampede-load"].map(|name| format!("{name}.json"));
    let expected: BTreeSet<String> = exercises.chain(general).collect();
    assert_eq!(found, expected.iter().map(String::as_str).collect());
}

fn check(folder: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dashboards"))
        .args(["--check", "--out"])
        .arg(folder)
        .output()
        .expect("the command runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_check_names_what_is_stale_missing_or_stray() {
    let folder = tempfile::tempdir().unwrap();
    let files = dashboards::generate();
    files.write(folder.path()).unwrap();
    assert_eq!(check(folder.path()).0, Some(0));

    let at = |path: &str| folder.path().join(path);
    fs::write(at("dashboards/grafana/stampede-load.json"), "{}").unwrap();
    fs::remove_file(at("docs/metrics.md")).unwrap();
    fs::write(at("dashboards/prometheus/rules/old.yml"), "groups: []").unwrap();
    // Whatever else the folder of dashboards holds belongs to others.
    fs::create_dir_all(at("dashboards/preview")).unwrap();
    fs::write(at("dashboards/preview/package.json"), "{}").unwrap();

    let expected = [
        Difference::Stale(PathBuf::from("dashboards/grafana/stampede-load.json")),
        Difference::Missing(PathBuf::from("docs/metrics.md")),
        Difference::Stray(PathBuf::from("dashboards/prometheus/rules/old.yml")),
    ];
    assert_eq!(files.differences(folder.path()).unwrap(), expected);
    let (code, complaint) = check(folder.path());
    assert_eq!(code, Some(1));
    for difference in &expected {
        assert!(complaint.contains(&difference.to_string()), "{complaint}");
    }
}

#[test]
fn the_check_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(check(folder.path()).0, Some(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
