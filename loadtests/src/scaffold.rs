//! Starts a new exercise: writes its files, which compile, and whose tests fail with what is to be written next.
//!
//! The files are made from the templates beside this one. In each, `{{id}}` and its like stand for what differs from one
//! exercise to another.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use target_app::catalogue::Exercise;

use crate::hint::Hinted;

/// Names of exercises are columns of tables and parts of file names.
const LONGEST_ID: usize = 30;
const LONGEST_ROUTE: usize = 60;

/// The methods that a route of an exercise may have.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The walk-through, which every error points to.
const GUIDE: &str = "docs/adding-an-exercise.md";

/// A file of an exercise: its path in the project, its template, and what belongs into it.
struct NewFile {
    path: &'static str,
    template: &'static str,
    holds: &'static str,
}

macro_rules! new_file {
    ($template:literal => $path:literal, $holds:literal) => {
        NewFile {
            path: $path,
            template: include_str!(concat!("scaffold/templates/", $template, ".txt")),
            holds: $holds,
        }
    };
}

/// In the order in which they are written by hand afterwards.
const FILES: &[NewFile] = &[
    new_file!("exercise.rs" => "target-app/src/exercises/{{snake}}/mod.rs", "what it is, and the call"),
    new_file!("buggy.rs" => "target-app/src/exercises/{{snake}}/buggy.rs", "the code that shipped"),
    new_file!("tempting.rs" => "target-app/src/exercises/{{snake}}/tempting.rs", "a fix that looks right"),
    new_file!("fixed.rs" => "target-app/src/exercises/{{snake}}/fixed.rs", "the fix that holds"),
    new_file!("corpus.rs" => "target-app/src/exercises/{{snake}}/corpus/mod.rs", "other solutions"),
    new_file!("corpus_wrong.rs" => "target-app/src/exercises/{{snake}}/corpus/wrong.rs", "a wrong one"),
    new_file!("corpus_right.rs" => "target-app/src/exercises/{{snake}}/corpus/right.rs", "a right one"),
    new_file!("symptom_test.rs" => "target-app/tests/it/exercises/{{snake}}.rs", "the symptom, without a clock"),
    new_file!("contract.rs" => "loadtests/src/scenarios/{{snake}}/contract.rs", "what one client is promised"),
    new_file!("scenario.rs" => "loadtests/src/scenarios/{{snake}}.rs", "the load and its audit"),
    new_file!("benchmark.rs" => "benches/benches/exercises/{{snake}}.rs", "what a call costs"),
    new_file!("page.md" => "docs/exercises/{{id}}.md", "the page for participants"),
];

/// Text for a file that is there already.
struct Insertion {
    path: &'static str,
    text: &'static str,
    place: Place,
}

/// Where text is inserted, by lines that are found in the file.
enum Place {
    /// In its order among the lines that begin like this and end with a semicolon.
    Among(&'static str),
    /// At the end of the list that begins with this line, before the first line like the other one.
    EndOf(&'static str, &'static str),
    /// Before this line.
    Before(&'static str),
}

const INSERTIONS: &[Insertion] = &[
    Insertion {
        path: "target-app/src/exercises/mod.rs",
        text: "pub mod {{snake}};\n",
        place: Place::Among("pub mod "),
    },
    Insertion {
        path: "target-app/src/exercises/mod.rs",
        text: "    {{snake}}\n",
        place: Place::EndOf("exercises! {", "}"),
    },
    Insertion {
        path: "target-app/tests/it/exercises/mod.rs",
        text: "mod {{snake}};\n",
        place: Place::Among("mod "),
    },
    Insertion {
        path: "loadtests/src/scenarios/mod.rs",
        text: "mod {{snake}};\n",
        place: Place::Among("mod "),
    },
    Insertion {
        path: "loadtests/src/scenarios/mod.rs",
        text: "    &{{snake}}::Scenario,\n",
        place: Place::EndOf("pub static SCENARIOS: &[&dyn AnyScenario] = &[", "];"),
    },
    Insertion {
        path: "benches/benches/exercises/main.rs",
        text: "mod {{snake}};\n",
        place: Place::Among("mod "),
    },
    Insertion {
        path: "benches/benches/exercises/main.rs",
        text: "        {{snake}}::Data::measure,\n",
        place: Place::EndOf("    targets =", "}"),
    },
    Insertion {
        path: "benches/src/growth.rs",
        text: "    Chart::of(\"{{id}}\", \"TODO: time of one call\", \"TODO: what\"),\n",
        place: Place::EndOf("const CHARTS: &[Chart] = &[", "];"),
    },
    Insertion {
        path: "docs/runbooks/README.md",
        text: include_str!("scaffold/templates/runbook.md.txt"),
        // The first alert that is of no exercise.
        place: Place::Before("## StampedeCheckoutAvailabilityBurn"),
    },
];

/// The id of a new exercise: the symptom, in lower-case words joined by hyphens.
///
/// It has two words at least. One is too vague for a symptom, and could be a keyword of Rust or a name that the code uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewId(String);

impl FromStr for NewId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        if !text.split('-').all(is_word) || text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(
                "write the symptom in lower-case words joined by hyphens, such as slow-order-list".into()
            );
        }
        if !text.contains('-') {
            return Err(
                "one word is no symptom: say what goes wrong with what, such as slow-order-list".into()
            );
        }
        if text.len() > LONGEST_ID {
            return Err(format!(
                "an id has at most {LONGEST_ID} characters, and this one has {}",
                text.len()
            ));
        }
        Ok(NewId(text.into()))
    }
}

impl NewId {
    /// The name in Rust paths: `slow_order_list`.
    fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// The name in headings: `Slow order list`.
    fn title(&self) -> String {
        capitalized(&self.0.replace('-', " "))
    }

    /// The name of the alert: `StampedeSlowOrderList`.
    fn alert(&self) -> String {
        ["Stampede".to_owned()].into_iter().chain(self.0.split('-').map(capitalized)).collect()
    }
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

/// A route as an exercise declares it, such as `GET /orders/{userId}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoute {
    method: String,
    path: String,
}

impl FromStr for NewRoute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/{}_-.".contains(c);
        match text.split_once(' ') {
            Some((method, path))
                if METHODS.contains(&method)
                    && path.starts_with('/')
                    && path.len() <= LONGEST_ROUTE
                    && path.chars().all(is_of_path) =>
            {
                Ok(NewRoute { method: method.into(), path: path.into() })
            }
            _ => Err("a route is a method and a short path, such as 'GET /orders/{userId}'".into()),
        }
    }
}

/// What goes wrong with a part of an exercise that is still as the template has it. It ends a run, instead of exposing the
/// variant that is under test.
pub fn unwritten(exercise: &Exercise, what: &str, file: &str, how: &str) -> Hinted {
    Hinted::new(format!("{}: {what} in {file}: {how}", exercise.id), format!("{GUIDE} explains each step"))
}

/// Writes a new exercise into the source that this program was built from, and says what comes next.
pub fn run(id: &NewId, route: Option<NewRoute>) -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace");
    write(root, id, route)?;
    Ok(report(id))
}

/// Writes a new exercise into the project at `root`.
///
/// # Errors
/// When the project is not there, has the exercise already, or lacks a line by which a place is found; then nothing is
/// written.
pub fn write(root: &Path, id: &NewId, route: Option<NewRoute>) -> anyhow::Result<()> {
    let route = route.unwrap_or_else(|| NewRoute { method: "GET".into(), path: format!("/{}", id.0) });
    let fill = |template: &str| {
        let route_filled = template.replace("{{route}}", &format!("{} {}", route.method, route.path));
        named(&route_filled.replace("{{path}}", &route.path), id)
    };
    if !root.join("target-app/src/exercises/mod.rs").is_file() {
        return Err(Hinted::new(
            format!("the source that this program was built from is not in {}", root.display()),
            "a new exercise is written into the source: get the project, and there run: cargo run -- new ID",
        )
        .into());
    }
    let mut files = Vec::new();
    for file in FILES {
        let path = root.join(fill(file.path));
        ensure_free(id, &path)?;
        files.push((path, fill(file.template)));
    }
    ensure_free(id, &root.join(format!("dashboards/grafana/{}.json", id.0)))?;
    let changed = changed_files(root, id, &fill)?;

    // What registers the exercise comes last: until then, whatever was written is part of nothing.
    for (path, content) in &files {
        create(path, content).with_context(|| format!("could not write {}", path.display()))?;
    }
    for (path, content) in &changed {
        fs::write(path, content).with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

/// The text with the names of the exercise in it.
fn named(text: &str, id: &NewId) -> String {
    text.replace("{{id}}", &id.0)
        .replace("{{snake}}", &id.snake())
        .replace("{{title}}", &id.title())
        .replace("{{alert}}", &id.alert())
}

fn ensure_free(id: &NewId, path: &Path) -> Result<(), Hinted> {
    if !path.exists() {
        return Ok(());
    }
    Err(Hinted::new(
        format!("{} is taken: {} exists already", id.0, path.display()),
        "choose another id, or remove what is left of an exercise of this name; nothing was written",
    ))
}

/// The files that name every exercise, with the new one in them.
fn changed_files(
    root: &Path,
    id: &NewId,
    fill: &impl Fn(&str) -> String,
) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut changed = BTreeMap::new();
    for Insertion { path, text, place } in INSERTIONS {
        let file = root.join(path);
        let content = match changed.remove(&file) {
            Some(content) => content,
            None => {
                fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?
            }
        };
        let text = fill(text);
        let first_line = text.lines().next().unwrap_or_default();
        if content.lines().any(|line| line == first_line) {
            let hint = "choose another id, or remove the line; nothing was written";
            return Err(
                Hinted::new(format!("{} is taken: {path} has `{}`", id.0, first_line.trim()), hint).into()
            );
        }
        let at = place.find(&content, &text).map_err(|line| {
            Hinted::new(
                format!("{path} does not have the line `{}` once, by which the place for {} is found", line.trim(), id.0),
                "bring the line back, or correct INSERTIONS in loadtests/src/scaffold.rs; nothing was written",
            )
        })?;
        changed.insert(file, format!("{}{text}{}", &content[..at], &content[at..]));
    }
    Ok(changed)
}

impl Place {
    /// Where in `content` the text goes, in bytes.
    ///
    /// # Errors
    /// The line that is not there, or there more than once.
    fn find(&self, content: &str, text: &str) -> Result<usize, &'static str> {
        match *self {
            Place::Among(prefix) => {
                let all =
                    || lines(content).filter(|(_, line)| line.starts_with(prefix) && line.ends_with(';'));
                let name = |line: &str| line.trim_end_matches(['\n', ';']).to_owned();
                let next = all().find(|(_, line)| name(line) > name(text));
                let after_last = || all().last().map(|(at, line)| at + line.len() + 1);
                next.map(|(at, _)| at).or_else(after_last).ok_or(prefix)
            }
            Place::EndOf(first, last) => {
                let begin = only(content, first)?;
                let end = lines(content).find(|(at, line)| *at > begin && *line == last);
                end.map(|(at, _)| at).ok_or(last)
            }
            Place::Before(line) => only(content, line),
        }
    }
}

/// The lines, each with the place in bytes at which it begins.
fn lines(content: &str) -> impl Iterator<Item = (usize, &str)> {
    content.split_inclusive('\n').scan(0, |next, line| {
        let at = *next;
        *next += line.len();
        Some((at, line.trim_end_matches('\n')))
    })
}

fn only(content: &str, wanted: &'static str) -> Result<usize, &'static str> {
    let mut found = lines(content).filter(|(_, line)| *line == wanted);
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        _ => Err(wanted),
    }
}

/// Writes a file that must not be there.
fn create(path: &Path, content: &str) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().expect("a file is in a folder"))?;
    File::create_new(path)?.write_all(content.as_bytes())
}

/// What was written, and what comes next.
fn report(id: &NewId) -> String {
    let mut text = format!("Wrote {}:\n", id.0);
    let mut row = |left: &str, right: &str| {
        let _ = writeln!(text, "  {left:<60}  {right}");
    };
    for file in FILES {
        row(&named(file.path, id), file.holds);
    }
    let mut paths: Vec<&str> = INSERTIONS.iter().map(|insertion| insertion.path).collect();
    paths.dedup();
    for path in paths {
        row(path, "names it now");
    }
    let _ = write!(
        text,
        "
Next:
  1. cargo run -p dashboards
     makes its dashboard, its alert and the tables of its page
  2. cargo test -p loadtests --test it rooms
     lists every TODO of its files
  3. {GUIDE}
     says what to write for each, in which order, and how to check it
"
    );
    text
}
