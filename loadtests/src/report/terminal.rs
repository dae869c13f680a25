//! The table on the terminal.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};

use super::facts::Outcome;
use super::format;
use crate::results::{ExerciseResult, Results, VariantResult};

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
    let mut text = String::new();
    for exercise in &results.exercises {
        let fits = exercise.id.len() + 2 + exercise.title.chars().count() <= usize::from(width);
        let between = if fits { "  " } else { "\n" };
        text.push_str(&format!("{}{between}{}\n", pen.bold(&exercise.id), pen.dim(&exercise.title)));
        for line in table(exercise, color, width).lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if width < NARROW {
            for variant in exercise.variants.iter().filter(|variant| variant.failed_checks().next().is_some())
            {
                let failed = format!("{}: failed {}", variant.name, variant.failed_names());
                text.push_str(&wrap(&failed, usize::from(width), "  ", "    "));
                text.push('\n');
            }
        }
        if width < WIDE {
            for variant in exercise.variants.iter().filter(|variant| !variant.audit.is_empty()) {
                let audit =
                    wrap(&format!("{}: {}", variant.name, variant.audit), usize::from(width), "  ", "    ");
                text.push_str(&pen.dim(&audit));
                text.push('\n');
            }
        }
        text.push('\n');
    }
    for (exercise, variant) in
        results.variants().filter(|(_, variant)| variant.outcome() != Outcome::AsExpected)
    {
        let heading = format!("{} {} was {}:", exercise.id, variant.name, variant.verdict_words());
        text.push_str(&wrap(&heading, usize::from(width), "", "  "));
        text.push('\n');
        if variant.failed_checks().next().is_none() {
            text.push_str("  every check held\n");
        }
        for check in variant.failed_checks() {
            let (name, kind) = (&check.name, &check.kind);
            let line = format!("{name} ({kind}): expected {}; saw {}", check.expected, check.seen());
            text.push_str(&wrap(&line, usize::from(width), "  ✘ ", "    "));
            text.push('\n');
        }
        if let Some(likeness) = variant.likeness(exercise) {
            text.push_str(&wrap(&likeness, usize::from(width), "  → ", "    "));
            text.push('\n');
        }
        text.push('\n');
    }
    for warning in results.warnings() {
        text.push_str(&pen.paint("1;33", &wrap(&format!("⚠ {warning}"), usize::from(width), "", "  ")));
        text.push('\n');
    }
    let code = match results.outcome() {
        Outcome::AsExpected => "1;32",
        Outcome::Unexpected => "1;31",
        Outcome::Invalid => "1;33",
    };
    let closing =
        wrap(&format!("{} {}", results.outcome().mark(), results.headline()), usize::from(width), "", "  ");
    let manner =
        format!("in {}, seed {}", format::wall_time(results.duration_seconds), results.generator.seed);
    let fits = closing.chars().count() + 1 + manner.chars().count() <= usize::from(width);
    let between = if fits { " " } else { "\n  " };
    text.push_str(&format!("{}{between}{}\n", pen.paint(code, &closing), pen.dim(&manner)));
    text
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

fn table(exercise: &ExerciseResult, color: bool, width: u16) -> Table {
    let columns: Vec<_> = COLUMNS.iter().filter(|column| width >= column.from_width).collect();
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.load_style(comfy_table::presets::NOTHING);
    if color {
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
