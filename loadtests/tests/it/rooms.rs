//! Every exercise has its rooms, each found by its id, and no room is left over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use loadtests::scenarios::SCENARIOS;
use target_app::catalogue::{Exercise, KEEPS_CONTRACT, Kind};
use target_app::exercises::EXERCISES;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Names in a folder without their endings; none when there is no folder.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

fn set(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

fn without(mut names: BTreeSet<String>, other: &str) -> BTreeSet<String> {
    names.remove(other);
    names
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn snake_ids() -> BTreeSet<String> {
    set(EXERCISES.iter().map(|exercise| exercise.snake_id()))
}

fn ids() -> BTreeSet<String> {
    set(EXERCISES.iter().map(|exercise| exercise.id))
}

#[test]
fn every_exercise_has_its_code_one_file_a_variant() {
    assert_eq!(without(names("target-app/src/exercises"), "mod"), snake_ids());
    for exercise in EXERCISES {
        let files = names(&format!("target-app/src/exercises/{}", exercise.snake_id()));
        let variants = exercise.variants.iter().map(|variant| variant.name.replace('-', "_"));
        let data_gauge = exercise.data_gauge.map(|_| "data_gauge".to_owned());
        let corpus = "corpus".to_owned();
        let wanted = variants.chain(data_gauge).chain([corpus]);
        assert_eq!(without(files, "mod"), set(wanted), "{}", exercise.id);
    }
}

#[test]
fn every_exercise_has_its_scenario_in_the_same_order() {
    assert_eq!(without(without(names("loadtests/src/scenarios"), "mod"), "any"), snake_ids());
    let scenarios: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.spec().exercise.id).collect();
    assert_eq!(scenarios, EXERCISES.iter().map(|exercise| exercise.id).collect::<Vec<_>>());
}

#[test]
fn every_exercise_has_its_tests() {
    assert_eq!(without(names("target-app/tests/it/exercises"), "mod"), snake_ids());
}

#[test]
fn every_exercise_has_its_page_which_speaks_of_every_variant_and_check() {
    assert_eq!(names("docs/exercises"), ids());
    for exercise in EXERCISES {
        let page = read(&format!("docs/exercises/{}.md", exercise.id));
        let named = exercise
            .variants
            .iter()
            .map(|variant| variant.name)
            .chain(exercise.checks.iter().map(|check| check.name));
        for name in named {
            assert!(
                page.contains(&format!("`{name}`")),
                "the page of {} does not mention `{name}`: `cargo run -p dashboards` writes its tables, the rest is by hand",
                exercise.id
            );
        }
    }
}

#[test]
fn the_index_of_the_documents_has_a_row_for_every_exercise_in_the_same_order() {
    let index = read("docs/README.md");
    let found: Vec<&str> = index.lines().filter(|line| line.contains("](exercises/")).collect();
    let row =
        |exercise: &&Exercise| format!("| [{0}](exercises/{0}.md) | {1} |", exercise.id, exercise.symptom);
    assert_eq!(found, EXERCISES.iter().map(row).collect::<Vec<_>>());
}

/// Those of the exercises, of the pure pieces, and of work that is known.
const BENCHMARKS: [&str; 4] = ["exercises", "hot_path", "instructions", "self_test"];

/// That each has a chart, a test beside the charts says; dashboards, alerts and runbooks are tested by what makes them.
#[test]
fn every_exercise_has_its_benchmark() {
    assert_eq!(without(names("benches/benches/exercises"), "main"), snake_ids());
    assert_eq!(names("benches/benches"), set(BENCHMARKS));
    let manifest = read("benches/Cargo.toml");
    for name in BENCHMARKS {
        // With cargo's own harness it is compiled, and measures nothing.
        let declared = format!("[[bench]]\nname = \"{name}\"\nharness = false\n");
        assert!(manifest.contains(&declared), "benches/Cargo.toml does not declare {name}");
    }
}

fn is_kebab(name: &str) -> bool {
    name.split('-')
        .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
}

#[test]
fn every_declaration_is_complete() {
    for exercise in EXERCISES.iter().copied() {
        let Exercise {
            id,
            title,
            symptom,
            cause,
            routes,
            headline: _,
            variants,
            corpus: _,
            checks,
            signals,
            alert,
            metrics: _,
            data_gauge: _,
        } = exercise;
        assert!(is_kebab(id) && variants.iter().all(|variant| is_kebab(variant.name)), "{id}");
        assert!(checks.iter().all(|check| is_kebab(check.name)), "{id}");
        assert!([title, symptom, cause].iter().all(|text| !text.is_empty()), "{id}");
        assert!(!routes.is_empty() && !checks.is_empty() && !signals.is_empty(), "{id}");
        assert!(signals[0].limit.is_some(), "{id}: the signal that exposes the defect has a limit");
        assert!(alert.name.starts_with("Stampede") && !alert.name.ends_with('.'), "{id}");

        let kinds: Vec<Kind> = variants.iter().map(|variant| variant.kind).collect();
        let tempting = &kinds[1..kinds.len() - 1];
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), (Kind::Buggy, Kind::Fixed), "{id}");
        assert!(!tempting.is_empty() && tempting.iter().all(|kind| *kind == Kind::Tempting), "{id}");
        assert_eq!((variants[0].name, variants[variants.len() - 1].name), ("buggy", "fixed"), "{id}");

        assert_eq!(checks[0].name, KEEPS_CONTRACT.name, "{id}");
        for variant in variants.iter() {
            let declared = |name: &&str| checks.iter().any(|check| check.name == *name);
            assert!(variant.must_fail.iter().all(declared), "{id} {}: {:?}", variant.name, variant.must_fail);
            assert_eq!(variant.must_fail.is_empty(), variant.kind == Kind::Fixed, "{id} {}", variant.name);
        }
    }
    assert_eq!(ids().len(), EXERCISES.len(), "ids are unique");
}

/// All files of a folder and its folders, or the one file that has this path; none where there is nothing.
fn files(path: &str) -> Vec<String> {
    if root().join(path).is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(root().join(path)).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.iter().flat_map(|name| files(&format!("{path}/{name}"))).collect()
}

/// Lines with a TODO, each with its place. What is generated says no more than the declaration that it is made from; only
/// figures come from elsewhere.
fn to_do(path: &str) -> Vec<String> {
    let text = read(path);
    let mut generated = false;
    let by_hand = text.lines().enumerate().filter(|(_, line)| {
        let begins = line.starts_with("<!-- generated: ") && *line != "<!-- generated: results -->";
        generated = begins || generated && *line != "<!-- end -->";
        !generated
    });
    let to_do = by_hand.filter_map(|(at, line)| {
        let rest = &line[line.find("TODO")?..];
        let quoted = line.split('"').find(|part| part.starts_with("TODO"));
        Some(format!("{path}:{}: {}", at + 1, quoted.unwrap_or(rest)))
    });
    to_do.collect()
}

#[test]
fn nothing_of_an_exercise_is_left_to_do() {
    let of_exercise = |exercise: &&Exercise| {
        let (id, snake) = (exercise.id, exercise.snake_id());
        [
            format!("target-app/src/exercises/{snake}"),
            format!("target-app/tests/it/exercises/{snake}.rs"),
            format!("loadtests/src/scenarios/{snake}"),
            format!("loadtests/src/scenarios/{snake}.rs"),
            format!("benches/benches/exercises/{snake}.rs"),
            format!("docs/exercises/{id}.md"),
        ]
    };
    let of_all = ["benches/src/growth.rs", "docs/runbooks/README.md"].map(String::from);
    let paths = EXERCISES.iter().flat_map(of_exercise).chain(of_all);
    let left: Vec<String> = paths.flat_map(|path| files(&path)).flat_map(|path| to_do(&path)).collect();
    assert!(
        left.is_empty(),
        "still to be written, as docs/adding-an-exercise.md explains:\n  {}",
        left.join("\n  ")
    );
}

/// Lines that a variant adds to the buggy one and takes from it, at most. The diff is the lesson, so it has to be short
/// enough to be read as one; the longest, that of the fixed checkout, has 37.
const LONGEST_DIFF: usize = 40;

#[test]
fn every_fix_is_a_small_change() {
    for exercise in EXERCISES {
        let source = |name| exercise.variant(name).unwrap().source;
        for variant in &exercise.variants[1..] {
            let diff = similar::TextDiff::from_lines(source("buggy"), variant.source);
            let changed =
                diff.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal).count();
            assert!(changed <= LONGEST_DIFF, "{} {}: {changed} lines changed", exercise.id, variant.name);
            assert!(!variant.source.contains("BUG"), "{} {}", exercise.id, variant.name);
        }
    }
}
