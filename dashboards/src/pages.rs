//! The parts of the pages in `docs/` that are made from the catalogue.
//!
//! A part stands between two comments, which no reader sees: `<!-- generated: NAME -->` and `<!-- end -->`. The rest of the page
//! is written by hand.

use std::fmt::Write;

use target_app::catalogue::{Exercise, Kind};
use target_app::exercises::EXERCISES;

use crate::files::Files;
use crate::prometheus::{self, AlertRule};

/// Adds all parts.
pub fn add(files: &mut Files) {
    files.add_part("docs/README.md", "exercises", index());
    files.add_part("docs/observability.md", "alerts", alerts());
    for exercise in EXERCISES {
        let page = format!("docs/exercises/{}.md", exercise.id);
        files.add_part(&page, "symptom", symptom(exercise));
        files.add_part(&page, "try", commands(exercise));
        files.add_part(&page, "checks", checks(exercise));
    }
}

/// A row for each exercise.
fn index() -> String {
    let mut table = "| exercise | what users report |\n|---|---|\n".to_owned();
    for exercise in EXERCISES {
        row(&mut table, &[format!("[{0}](exercises/{0}.md)", exercise.id).as_str(), exercise.symptom]);
    }
    table
}

/// A row for each alert; one of several rules has the severities of all.
fn alerts() -> String {
    let mut table = "| alert | severity | what it says |\n|---|---|---|\n".to_owned();
    for rules in prometheus::alerts().chunk_by(|one, next| one.name == next.name) {
        let AlertRule { name, summary, .. } = &rules[0];
        let mut severities: Vec<String> = rules.iter().map(|rule| rule.severity.to_string()).collect();
        severities.dedup();
        let runbook = format!("[{name}](runbooks/README.md#{})", name.to_lowercase());
        row(&mut table, &[&runbook, &severities.join(", "), summary]);
    }
    table
}

fn symptom(exercise: &Exercise) -> String {
    format!("> {}\n", exercise.symptom)
}

fn commands(exercise: &Exercise) -> String {
    let (id, snake) = (exercise.id, exercise.snake_id());
    format!(
        "Run the buggy variant and see what the audit finds. (`stampede` stands for `cargo run --release --`, as in the README.)\n\n\
         ```sh\nstampede run {id} --variant buggy\n```\n\n\
         Or serve it and break it by hand (Ctrl-C stops it):\n\n\
         ```sh\nstampede serve --variant {id}=buggy --operator-port 9464\n```\n\n\
         Then fix `target-app/src/exercises/{snake}/buggy.rs` and let Stampede compile and judge your edit:\n\n\
         ```sh\ncargo run --release -- check {id}\n```\n"
    )
}

/// A row for each check, and which of them each variant must fail.
fn checks(exercise: &Exercise) -> String {
    let mut text = "| check | kind | promise |\n|---|---|---|\n".to_owned();
    for check in exercise.checks {
        row(&mut text, &[&format!("`{}`", check.name), &check.kind.to_string(), check.promise]);
    }
    // Folded, since it names the fixes that tempt.
    text += "\n<details><summary>What each variant must fail, on every machine (spoilers)</summary>\n\n\
             | variant | must fail |\n|---|---|\n";
    for variant in exercise.variants.iter().filter(|variant| variant.kind != Kind::Fixed) {
        let checks: Vec<String> = variant.must_fail.iter().map(|check| format!("`{check}`")).collect();
        row(&mut text, &[&format!("`{}`", variant.name), &checks.join(", ")]);
    }
    text += "\n</details>\n";
    text
}

/// Adds a row to a table.
pub(crate) fn row(table: &mut String, cells: &[impl AsRef<str>]) {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    writeln!(table, "| {} |", cells.join(" | ")).expect("a string takes every line");
}
