//! The summary for a pull request.

use std::fmt::Write;

use super::format;
use crate::results::Results;

/// A short summary in GitHub's Markdown: the verdict, a table, what went wrong, and where it ran. Of many exercises, what went
/// wrong comes first, and the table is folded.
pub fn markdown(results: &Results) -> String {
    let mut text = format!("## Stampede: {} {}\n\n", results.outcome().mark(), results.headline());
    for warning in results.warnings() {
        line(&mut text, format_args!("> **{}**\n", escape(&warning)));
    }
    let (table, surprises) = (table(results), surprises(results));
    if results.is_long() {
        let (variants, exercises) = (results.variants().count(), results.exercises.len());
        let title = format!("All {variants} variants of {exercises} exercises");
        // Without the empty lines, GitHub would take the table for HTML.
        let folded = format!("<details>\n<summary>{title}</summary>\n\n{table}\n</details>\n\n");
        text.extend([surprises, folded]);
    } else {
        text.extend([table, "\n".into(), surprises]);
    }

    let circumstances: Vec<_> = results
        .circumstances()
        .into_iter()
        .map(|(label, value)| format!("{label}: {}", escape(&value)))
        .collect();
    line(&mut text, format_args!("<sub>{}</sub>", circumstances.join(" · ")));
    text
}

/// A row per variant.
fn table(results: &Results) -> String {
    let mut text = String::from(
        "| exercise | variant | verdict | failed checks | throughput | p50 | p99 | p99.9 | errors | p99 × buggy | audit |\n\
         |---|---|---|---|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for (exercise, variant) in results.variants() {
        line(
            &mut text,
            format_args!(
                "| {} | {} | {} {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                escape(&exercise.id),
                escape(&variant.name),
                variant.outcome().mark(),
                variant.verdict_words(),
                escape(&variant.failed_names()),
                format::rate(variant.throughput),
                variant.headline_latency(|latency| latency.p50_us),
                variant.headline_latency(|latency| latency.p99_us),
                variant.headline_latency(|latency| latency.p999_us),
                variant.errors(),
                exercise.p99_to_buggy(variant),
                escape(&variant.audit),
            ),
        );
    }
    text
}

/// The variants that did not come out as expected, with the checks that failed; nothing where there are none.
fn surprises(results: &Results) -> String {
    let mut text = String::new();
    for (exercise, variant) in results.surprises() {
        line(
            &mut text,
            format_args!(
                "- **{} / {}** ({}): {}",
                escape(&exercise.id),
                escape(&variant.name),
                escape(&variant.kind),
                variant.verdict_words()
            ),
        );
        if variant.failed_checks().next().is_none() {
            line(&mut text, format_args!("  - every check held"));
        }
        if let Some(likeness) = variant.likeness(exercise) {
            line(&mut text, format_args!("  - {}", escape(&likeness)));
        }
        for check in variant.failed_checks() {
            line(
                &mut text,
                format_args!(
                    "  - {} `{}`: expected {}, saw {}",
                    escape(&check.kind),
                    check.name,
                    escape(&check.expected),
                    escape(&check.seen())
                ),
            );
        }
    }
    if text.is_empty() { text } else { format!("### Not as expected\n\n{text}\n") }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("a string takes every line");
}

/// Keeps a text on one line of a table, and its characters from meaning anything.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}
