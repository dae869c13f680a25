//! A new exercise: what is written, where it is named, and what is refused. That it compiles, nothing here says.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use loadtests::hint::Hinted;
use loadtests::scaffold::{NewId, NewRoute, write};
use tempfile::TempDir;

use crate::cli::skip;

/// The files that name every exercise, and so all that a new one needs of the project.
const SHARED: [&str; 6] = [
    "benches/benches/exercises/main.rs",
    "benches/src/growth.rs",
    "docs/runbooks/README.md",
    "loadtests/src/scenarios/mod.rs",
    "target-app/src/exercises/mod.rs",
    "target-app/tests/it/exercises/mod.rs",
];

/// An id that no exercise has, nor one that somebody tries out.
const ID: &str = "never-used";

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// A copy of the project, of as much as is needed.
fn copy() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for path in SHARED {
        let to = copy.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(project().join(path), to).unwrap();
    }
    copy
}

/// Every file below a folder, as its path from there, with its text.
fn contents(root: &Path) -> BTreeMap<String, String> {
    fn add(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    add(root, root, &mut found);
    found
}

fn new(root: &Path, id: &str, route: Option<&str>) -> anyhow::Result<()> {
    let id: NewId = id.parse().unwrap();
    let route: Option<NewRoute> = route.map(|route| route.parse().unwrap());
    write(root, &id, route)
}

/// Asserts that the exercise is refused with these words and a hint, and that nothing was written.
#[track_caller]
fn refused(root: &Path, id: &str, words: &[&str]) {
    let before = contents(root);
    let error = new(root, id, None).unwrap_err();
    let hint = &error.downcast_ref::<Hinted>().unwrap_or_else(|| panic!("{error:#} has no hint")).hint;
    let said = format!("{error:#}\n{hint}");
    for word in words {
        assert!(said.contains(word), "'{word}' is missing: {said}");
    }
    assert_eq!(contents(root), before, "{id}");
}

#[test]
fn a_new_exercise_has_all_its_files_and_is_named_once_wherever_all_are() {
    let copy = copy();
    let before = contents(copy.path());
    new(copy.path(), ID, Some("GET /things/{id}")).unwrap();
    let after = contents(copy.path());

    let added: Vec<&str> =
        after.keys().filter(|path| !before.contains_key(*path)).map(String::as_str).collect();
    assert_eq!(
        added,
        [
            "benches/benches/exercises/never_used.rs",
            "docs/exercises/never-used.md",
            "loadtests/src/scenarios/never_used.rs",
            "loadtests/src/scenarios/never_used/contract.rs",
            "target-app/src/exercises/never_used/buggy.rs",
            "target-app/src/exercises/never_used/corpus/mod.rs",
            "target-app/src/exercises/never_used/corpus/right.rs",
            "target-app/src/exercises/never_used/corpus/wrong.rs",
            "target-app/src/exercises/never_used/fixed.rs",
            "target-app/src/exercises/never_used/mod.rs",
            "target-app/src/exercises/never_used/tempting.rs",
            "target-app/tests/it/exercises/never_used.rs",
        ]
    );
    for path in added {
        assert!(after[path].contains("TODO"), "{path} does not say what to write");
        assert!(!after[path].contains("{{"), "{path} has a placeholder left");
    }
    let declaration = &after["target-app/src/exercises/never_used/mod.rs"];
    for words in
        [r#"id: "never-used""#, r#"title: "Never used""#, r#"&["GET /things/{id}"]"#, "StampedeNeverUsed"]
    {
        assert!(declaration.contains(words), "{words}: {declaration}");
    }

    for (path, lines) in [
        (SHARED[0], &["mod never_used;", "        never_used::Data::measure,"][..]),
        (SHARED[1], &[r#"    Chart::of("never-used", "TODO: time of one call", "TODO: what"),"#]),
        (SHARED[2], &["## StampedeNeverUsed"]),
        (SHARED[3], &["mod never_used;", "    &never_used::Scenario,"]),
        (SHARED[4], &["pub mod never_used;", "    never_used"]),
        (SHARED[5], &["mod never_used;"]),
    ] {
        for line in lines {
            assert_eq!(after[path].lines().filter(|found| found == line).count(), 1, "{path}: {line}");
        }
        let kept: String =
            before[path].lines().filter(|line| after[path].lines().any(|other| other == *line)).collect();
        assert_eq!(kept, before[path].lines().collect::<String>(), "{path} lost a line");
    }
}

#[test]
fn modules_are_in_their_order_and_lists_grow_at_their_end() {
    let copy = copy();
    for id in ["aaa-first", "zzz-last", "mmm-middle"] {
        new(copy.path(), id, None).unwrap();
    }
    let modules = contents(copy.path())["loadtests/src/scenarios/mod.rs"].clone();
    let found: Vec<&str> = modules.lines().filter(|line| line.starts_with("mod ")).collect();
    let order = |line: &&&str| line.trim_end_matches(';').to_owned();
    assert!(found.is_sorted_by_key(|line| order(&line)), "{found:?}");
    let list = modules.split("SCENARIOS").nth(1).unwrap().split("];").next().unwrap();
    let ends = "&aaa_first::Scenario,\n    &zzz_last::Scenario,\n    &mmm_middle::Scenario,\n";
    assert!(list.ends_with(ends), "{list}");
}

#[test]
fn what_is_written_has_the_format_of_the_project_however_long_its_names_are() {
    if Command::new("rustfmt").arg("--version").output().is_err() {
        return skip("what_is_written_has_the_format_of_the_project", "there is no rustfmt");
    }
    let longest = format!("GET /{}", "a".repeat(59));
    for (id, route) in [("a-b", "GET /"), (ID, "GET /things"), (&["a"; 15].join("-"), &longest)] {
        let copy = copy();
        new(copy.path(), id, Some(route)).unwrap();
        for (path, text) in contents(copy.path()).iter().filter(|(path, _)| path.ends_with(".rs")) {
            assert_eq!(&formatted(text), text, "{path} of {id}");
        }
    }
}

/// The text as rustfmt wants it, with the settings of the project.
fn formatted(text: &str) -> String {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(project())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    rustfmt.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = rustfmt.wait_with_output().unwrap();
    assert!(output.status.success(), "rustfmt failed on {text}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let copy = copy();
    new(copy.path(), ID, None).unwrap();
    refused(copy.path(), ID, &["never-used is taken", "never_used/mod.rs", "choose another id"]);
    // Of another exercise, an alert, and a dashboard.
    refused(copy.path(), "oversold-stock", &["oversold-stock is taken", "choose another id"]);
    refused(copy.path(), "pool-exhausted", &["pool-exhausted is taken", "## StampedePoolExhausted"]);
    fs::create_dir_all(copy.path().join("dashboards/grafana")).unwrap();
    fs::write(copy.path().join("dashboards/grafana/stampede-load.json"), "{}").unwrap();
    refused(copy.path(), "stampede-load", &["stampede-load is taken", "stampede-load.json"]);
}

#[test]
fn a_place_that_is_not_found_is_named_and_nothing_is_written() {
    for (path, line) in [
        (SHARED[0], "    targets ="),
        (SHARED[1], "const CHARTS: &[Chart] = &["),
        (SHARED[2], "## StampedeCheckoutAvailabilityBurn"),
        (SHARED[3], "pub static SCENARIOS: &[&dyn AnyScenario] = &["),
        (SHARED[4], "exercises! {"),
    ] {
        for replacement in [String::new(), format!("{line}\n{line}\n")] {
            let copy = copy();
            let file = copy.path().join(path);
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replacen(&format!("{line}\n"), &replacement, 1)).unwrap();
            refused(copy.path(), ID, &[path, line.trim(), "nothing was written"]);
        }
    }
    let copy = copy();
    fs::write(copy.path().join(SHARED[5]), "//! Without modules.\n").unwrap();
    refused(copy.path(), ID, &[SHARED[5], "`mod`", "nothing was written"]);
}

#[test]
fn without_the_source_there_is_nowhere_to_write() {
    let empty = tempfile::tempdir().unwrap();
    refused(empty.path(), ID, &[empty.path().to_str().unwrap(), "cargo run -- new"]);
}
