//! The committed files are those that would be generated now, and the check says so when they are not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dashboards::files::Difference;
use dashboards::prometheus::{alerts, runbook};
use target_app::exercises::EXERCISES;

use crate::support::{root, said, skip, tool};

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

/// They are written by `cargo run -p dashboards -- --results FILE`.
#[test]
fn every_page_has_figures_of_each_variant() {
    for exercise in EXERCISES {
        let path = format!("docs/exercises/{}.md", exercise.id);
        let page = fs::read_to_string(root().join(&path)).unwrap();
        let (_, figures) = page.split_once("<!-- generated: results -->").expect("figures");
        let (figures, _) = figures.split_once("<!-- end -->").expect("their end");
        for variant in exercise.variants {
            let rows = figures.lines().filter(|line| line.starts_with(&format!("| `{}` |", variant.name)));
            assert_eq!(rows.count(), 2, "{path}: {}", variant.name);
        }
    }
}

#[test]
fn figures_come_from_a_whole_run_only() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results.json");
    let figures = |text: &str| {
        fs::write(&results, text).unwrap();
        run(folder.path(), &["--results", results.to_str().unwrap()])
    };
    let page = "<!-- generated: results -->\n<!-- end -->\n";
    fs::create_dir_all(folder.path().join("docs/exercises")).unwrap();
    fs::write(folder.path().join("docs/exercises/slow-lunch.md"), page).unwrap();

    let request = |p99: u64| serde_json::json!({ "p50_us": 1_234, "p99_us": p99 });
    let variant = |name: &str, held: bool, p99: u64| {
        serde_json::json!({
            "name": name, "verdict": "clean", "audit": "3 of 3 lunches", "headline": "lunch",
            "checks": [{ "name": "lunch-p99", "held": held }],
            "requests": [{ "name": "lunch", "outcome": "ok", "response": request(p99) }],
            "signals": [{ "name": "lunches late", "value": 2.0, "unit": "lunches" }],
        })
    };
    let mut whole = serde_json::json!({
        "started_at": "2026-11-27T03:15:26Z", "complete": true,
        "environment": { "postgres": "15.18", "cpus": 2 }, "generator": { "seed": 42, "rounds": 2 },
        "exercises": [{ "id": "slow-lunch", "variants": [variant("buggy", false, 2_345_678), variant("fixed", true, 34_567)] }],
    });
    assert_eq!(figures(&whole.to_string()).0, Some(0));
    let written = fs::read_to_string(folder.path().join("docs/exercises/slow-lunch.md")).unwrap();
    for line in [
        "| variant | failed checks | lunch p50 | lunch p99 | lunches late |",
        "| `buggy` | `lunch-p99` | 1.23 ms | 2.35 s | 2 |",
        "| `fixed` | clean | 1.23 ms | 34.6 ms | 2 |",
        "| `fixed` | 3 of 3 lunches |",
    ] {
        assert!(written.contains(line), "{line}: {written}");
    }

    whole["complete"] = false.into();
    let (code, complaint) = figures(&whole.to_string());
    assert!(code == Some(1) && complaint.contains("interrupted"), "{complaint}");
    let (code, complaint) = figures("{}");
    assert!(code == Some(1) && complaint.contains("not the results.json of a run"), "{complaint}");
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

/// Exit code of the command for that folder, and what it complains of.
fn run(folder: &Path, options: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dashboards"));
    let output = command.args(options).arg("--out").arg(folder).output().expect("the command runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn check(folder: &Path) -> (Option<i32>, String) {
    run(folder, &["--check"])
}

#[test]
fn the_check_names_what_is_stale_missing_or_stray() {
    let folder = tempfile::tempdir().unwrap();
    let files = dashboards::generate();
    let at = |path: &str| folder.path().join(path);
    // Of a page, the parts between the comments are generated, and the rest is not.
    fs::create_dir_all(at("docs")).unwrap();
    let page = "By hand.\n<!-- generated: exercises -->\nold\n<!-- end -->\nBy hand.\n";
    fs::write(at("docs/README.md"), page).unwrap();
    files.write(folder.path()).unwrap();
    assert_eq!(check(folder.path()).0, Some(0));
    let written = fs::read_to_string(at("docs/README.md")).unwrap();
    assert!(
        written.starts_with("By hand.\n<!-- ") && written.ends_with("<!-- end -->\nBy hand.\n"),
        "{written}"
    );
    assert!(written.contains(EXERCISES[0].symptom) && !written.contains("old\n"), "{written}");

    fs::write(at("docs/README.md"), written.replace(EXERCISES[0].symptom, "Something else.")).unwrap();
    fs::write(at("dashboards/grafana/stampede-load.json"), "{}").unwrap();
    fs::remove_file(at("docs/metrics.md")).unwrap();
    fs::write(at("dashboards/prometheus/rules/old.yml"), "groups: []").unwrap();
    // Whatever else the folder of dashboards holds belongs to others.
    fs::create_dir_all(at("dashboards/preview")).unwrap();
    fs::write(at("dashboards/preview/package.json"), "{}").unwrap();

    let expected = [
        Difference::Stale(PathBuf::from("dashboards/grafana/stampede-load.json")),
        Difference::Stale(PathBuf::from("docs/README.md")),
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
fn a_page_without_the_comments_is_an_error_that_names_both() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("docs")).unwrap();
    fs::write(folder.path().join("docs/README.md"), "# Documentation\n").unwrap();
    let (code, complaint) = check(folder.path());
    assert_eq!(code, Some(1));
    assert!(
        complaint.contains("docs/README.md") && complaint.contains("<!-- generated: exercises -->"),
        "{complaint}"
    );
}

#[test]
fn the_check_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(check(folder.path()).0, Some(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn links_begin_with_the_address_of_the_docs() {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://example.org/stampede/docs";
    let with_url = ["--docs-url", &format!("{url}/")];
    assert_eq!(run(folder.path(), &with_url).0, Some(0));

    let read = |path: &str| fs::read_to_string(folder.path().join("dashboards").join(path)).unwrap();
    for alert in alerts() {
        let link = format!(" {url}/{}\n", runbook(alert.name));
        assert!(read("prometheus/rules/alerts.yml").contains(&link), "{link}");
        assert!(read("prometheus/tests/alerts.yml").contains(&link), "{link}");
    }
    for exercise in EXERCISES {
        let dashboard = read(&format!("grafana/{}.json", exercise.id));
        for page in [format!("exercises/{}.md", exercise.id), runbook(exercise.alert.name)] {
            let link = format!("<{url}/{page}>");
            assert!(dashboard.contains(&link), "{link}");
        }
    }
    let (judge, cases) = ("promtool", "dashboards/prometheus/tests/alerts.yml");
    match tool(judge, &["test", "rules", cases], folder.path()) {
        None => skip("links_begin_with_the_address_of_the_docs", "promtool is missing"),
        Some(output) => assert!(output.status.success(), "{}", said(&output)),
    }

    assert_eq!(run(folder.path(), &["--check", with_url[0], with_url[1]]), (Some(0), String::new()));
    let (code, complaint) = check(folder.path());
    assert!(
        code == Some(1) && complaint.contains("stale: dashboards/prometheus/rules/alerts.yml"),
        "{complaint}"
    );
    let another = "http://127.0.0.1:8000/docs";
    let (code, complaint) = run(folder.path(), &["--check", "--docs-url", another]);
    assert_eq!(code, Some(1));
    let remedy =
        format!("hint: cargo run -p dashboards -- --out {} --docs-url {another}\n", folder.path().display());
    assert!(complaint.ends_with(&remedy), "{complaint}");
}

#[test]
fn what_is_no_address_of_the_docs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = [
        "",
        "docs",
        "example.org/docs",
        "ftp://example.org/docs",
        "https://",
        "https://reader:secret@example.org/docs",
        "https://example.org/docs?branch=main",
        "https://example.org/docs#runbooks",
    ];
    for url in wrong {
        let (code, complaint) = run(folder.path(), &["--docs-url", url]);
        assert_eq!(code, Some(2), "{url}: {complaint}");
        for part in ["--docs-url", url, "looks like https://example.org/stampede/docs"] {
            assert!(complaint.contains(part), "{url}: {complaint}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}
