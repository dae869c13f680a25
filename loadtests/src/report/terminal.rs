//! The tables on the terminal.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};

use super::facts::Outcome;
use super::format::{self, ABSENT};
use crate::results::{CheckResult, ExerciseResult, Results, VariantResult};

/// From this width on, all columns have room.
const WIDE: u16 = 130;
/// From this width on, all latencies have room.
const MIDDLE: u16 = 105;
/// From this width on, what failed has room beside the numbers.
const NARROW: u16 = 72;

/// The results as a table per exercise and one closing line.
///
/// `width` is the number of columns of the terminal: where it is short, the least important columns go, and what failed
/// and the audits stand beneath the table. `color` is the caller's to decide, from `NO_COLOR` and whether this is a
/// terminal.
pub fn terminal(results: &Results, color: bool, width: u16) -> String {
    let pen = Pen { color };
    let tables: String = results.exercises.iter().map(|exercise| section(exercise, pen, width)).collect();
    tables + &ending(results, &manner(results), pen, width)
}

/// The results as one line per variant, details of those that did not come out as expected, and one closing line: for a run
/// of more exercises than one wants to read the tables of. Arguments as for [`terminal`].
pub fn brief(results: &Results, color: bool, width: u16) -> String {
    let pen = Pen { color };
    let exercises = results.exercises.len();
    let exercises = format!("{exercises} exercise{}", if exercises == 1 { "" } else { "s" });
    let manner = format!("({exercises} {})", manner(results));
    line_per_variant(results, pen, width.into()) + "\n" + &ending(results, &manner, pen, width)
}

/// The table of an exercise, and what found no room in it.
fn section(exercise: &ExerciseResult, pen: Pen, width: u16) -> String {
    let fits = exercise.id.len() + 2 + exercise.title.chars().count() <= usize::from(width);
    let between = if fits { "  " } else { "\n" };
    let mut text = format!("{}{between}{}\n", pen.bold(&exercise.id), pen.dim(&exercise.title));
    for line in table(exercise, pen, width).lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let beneath = |text: String| wrap(&text, width.into(), "  ", "    ");
    if width < NARROW {
        for variant in exercise.variants.iter().filter(|variant| variant.failed_checks().next().is_some()) {
            text.push_str(&beneath(format!("{}: failed {}", variant.name, variant.failed_names())));
            text.push('\n');
        }
    }
    if width < WIDE {
        for variant in exercise.variants.iter().filter(|variant| !variant.audit.is_empty()) {
            text.push_str(&pen.dim(&beneath(format!("{}: {}", variant.name, variant.audit))));
            text.push('\n');
        }
    }
    text.push('\n');
    text
}

/// A line per variant. All exercises share the widths of the columns.
fn line_per_variant(results: &Results, pen: Pen, width: usize) -> String {
    let ids = longest(results.exercises.iter().map(|exercise| exercise.id.as_str()), "exercise");
    // With a mark before each.
    let names = 2 + longest(results.variants().map(|(_, variant)| variant.name.as_str()), "variant");
    let verdicts = "verdict".len();
    let room = width.saturating_sub(ids + 2 + names + 2 + verdicts + 2);
    let heading =
        format!("{:<ids$}  {:<names$}  {:<verdicts$}  what failed", "exercise", "  variant", "verdict");
    let mut text = pen.dim(&heading) + "\n";
    for exercise in &results.exercises {
        for (n, variant) in exercise.variants.iter().enumerate() {
            let outcome = variant.outcome();
            let id = if n == 0 { exercise.id.as_str() } else { "" };
            let name = format!("{} {}", outcome.mark(), variant.name);
            // Escape sequences take no columns, so what they enclose is padded first.
            let id = pen.bold(&format!("{id:<ids$}"));
            let verdict = pen.paint(color_of(outcome), &format!("{:<verdicts$}", variant.verdict));
            let line = format!("{id}  {name:<names$}  {verdict}  {}", failed_within(variant, room));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// The width of a column with these texts below its heading.
fn longest<'a>(texts: impl Iterator<Item = &'a str>, heading: &'a str) -> usize {
    texts.chain([heading]).map(|text| text.chars().count()).max().unwrap_or(0)
}

/// Names of the failed checks, as many as there is room for, and how many more there are.
fn failed_within(variant: &VariantResult, room: usize) -> String {
    let names: Vec<_> = variant.failed_checks().map(|check| check.name.as_str()).collect();
    if names.is_empty() {
        return ABSENT.into();
    }
    let shortened = |shown: usize| match (shown, names.len() - shown) {
        (_, 0) => names.join(", "),
        (0, 1) => "1 check".into(),
        (0, all) => format!("{all} checks"),
        (shown, more) => format!("{}, {more} more", names[..shown].join(", ")),
    };
    let mut texts = (0..=names.len()).rev().map(shortened);
    texts.find(|text| text.chars().count() <= room).unwrap_or_default()
}

/// What stands below the verdicts: the details of each surprise, the warnings, and the run in one line.
fn ending(results: &Results, manner: &str, pen: Pen, width: u16) -> String {
    let width = usize::from(width);
    let mut text = String::new();
    for (exercise, variant) in results.surprises() {
        text.push_str(&details(exercise, variant, width));
        text.push('\n');
    }
    for warning in results.warnings() {
        text.push_str(&pen.paint("1;33", &wrap(&format!("⚠ {warning}"), width, "", "  ")));
        text.push('\n');
    }
    let outcome = results.outcome();
    let closing = wrap(&format!("{} {}", outcome.mark(), results.headline()), width, "", "  ");
    let fits = closing.chars().count() + 1 + manner.chars().count() <= width;
    let between = if fits { " " } else { "\n  " };
    let code = format!("1;{}", color_of(outcome));
    text.push_str(&format!("{}{between}{}\n", pen.paint(&code, &closing), pen.dim(manner)));
    text
}

/// What was expected of a variant, and what was seen: the checks that had to fail and held, and those that failed.
fn details(exercise: &ExerciseResult, variant: &VariantResult, width: usize) -> String {
    let heading = format!("{} {} was {}:", exercise.id, variant.name, variant.verdict_words());
    let mut text = wrap(&heading, width, "", "  ") + "\n";
    if variant.failed_checks().next().is_none() {
        text.push_str("  every check held\n");
    }
    let mut add = |mark: &str, check: &CheckResult| {
        let (name, kind) = (&check.name, &check.kind);
        let line = format!("{name} ({kind}): expected {}; saw {}", check.expected, check.seen());
        text.push_str(&wrap(&line, width, &format!("  {mark} "), "    "));
        text.push('\n');
    };
    for name in variant.unpredicted() {
        variant.checks.iter().filter(|check| check.name == name).for_each(|check| add("✔", check));
    }
    variant.failed_checks().for_each(|check| add("✘", check));
    if let Some(likeness) = variant.likeness(exercise) {
        text.push_str(&wrap(&likeness, width, "  → ", "    "));
        text.push('\n');
    }
    text
}

/// How long it took, and how to repeat it.
fn manner(results: &Results) -> String {
    format!("in {}, seed {}", format::wall_time(results.duration_seconds), results.generator.seed)
}

/// The colour of a verdict, as the number of an escape sequence.
fn color_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::AsExpected => "32",
        Outcome::Unexpected => "31",
        Outcome::Invalid => "33",
    }
}

/// A column: its heading, its alignment, the narrowest terminal that shows it, and what stands in it.
struct Column {
    heading: &'static str,
    alignment: CellAlignment,
    from_width: u16,
    cell: fn(&ExerciseResult, &VariantResult) -> String,
}

const COLUMNS: [Column; 10] = {
    use CellAlignment::{Left, Right};
    [
        Column {
            heading: "variant",
            alignment: Left,
            from_width: 0,
            cell: |_, variant| format!("{} {}", variant.outcome().mark(), variant.name),
        },
        Column {
            heading: "verdict",
            alignment: Left,
            from_width: 0,
            cell: |_, variant| variant.verdict_words(),
        },
        Column {
            heading: "what failed",
            alignment: Left,
            from_width: NARROW,
            cell: |_, variant| variant.failed_names(),
        },
        Column {
            heading: "ok/s",
            alignment: Right,
            from_width: 0,
            cell: |_, variant| format::number(variant.throughput),
        },
        Column {
            heading: "p50",
            alignment: Right,
            from_width: MIDDLE,
            cell: |_, variant| variant.headline_latency(|latency| latency.p50_us),
        },
        Column {
            heading: "p99",
            alignment: Right,
            from_width: 0,
            cell: |_, variant| variant.headline_latency(|latency| latency.p99_us),
        },
        Column {
            heading: "p99.9",
            alignment: Right,
            from_width: MIDDLE,
            cell: |_, variant| variant.headline_latency(|latency| latency.p999_us),
        },
        Column {
            heading: "errors",
            alignment: Right,
            from_width: NARROW,
            cell: |_, variant| variant.errors(),
        },
        Column {
            heading: "p99 × buggy",
            alignment: Right,
            from_width: NARROW,
            cell: |exercise, variant| exercise.p99_to_buggy(variant),
        },
        Column {
            heading: "audit",
            alignment: Left,
            from_width: WIDE,
            cell: |_, variant| variant.audit.clone(),
        },
    ]
};

fn table(exercise: &ExerciseResult, pen: Pen, width: u16) -> Table {
    let columns: Vec<_> = COLUMNS.iter().filter(|column| width >= column.from_width).collect();
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.load_style(comfy_table::presets::NOTHING);
    if pen.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(columns.iter().map(|column| {
        Cell::new(column.heading).set_alignment(column.alignment).add_attribute(Attribute::Dim)
    }));
    table.add_rows(exercise.variants.iter().map(|variant| {
        columns
            .iter()
            .map(|column| {
                let cell = Cell::new((column.cell)(exercise, variant)).set_alignment(column.alignment);
                match column.heading {
                    "variant" => cell.add_attribute(Attribute::Bold),
                    "verdict" => cell.fg(match variant.outcome() {
                        Outcome::AsExpected => Color::DarkGreen,
                        Outcome::Unexpected => Color::DarkRed,
                        Outcome::Invalid => Color::DarkYellow,
                    }),
                    _ => cell,
                }
            })
            .collect::<Vec<_>>()
    }));
    // Names are what one types next: they never break.
    table.set_constraints([ColumnConstraint::ContentWidth]);
    table
}

/// Breaks a text between words, so that no line is wider than `width` unless a single word is.
fn wrap(text: &str, width: usize, first: &str, rest: &str) -> String {
    let mut lines = vec![String::from(first)];
    let mut empty = true;
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{rest}{word}"));
        } else {
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
        }
        empty = false;
    }
    lines.join("\n")
}

/// Writes escape sequences, or leaves them out.
#[derive(Clone, Copy)]
struct Pen {
    color: bool,
}

impl Pen {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }
}
