//! The summary for a pull request.

use std::fmt::Write;

use super::facts::Outcome;
use super::format;
use crate::results::Results;

/// A short summary in GitHub's Markdown: the verdict, a table, what went wrong, and where it ran.
pub fn markdown(results: &Results) -> String {
    let mut text = format!("## Stampede: {} {}\n\n", results.outcome().mark(), results.headline());
    for warning in results.warnings() {
        line(&mut text, format_args!("> **{}**\n", escape(&warning)));
    }
    line(
        &mut text,
        format_args!(
            "| exercise | variant | verdict | failed checks | throughput | p50 | p99 | p99.9 | errors | p99 × buggy | audit |\n\
             |---|---|---|---|--:|--:|--:|--:|--:|--:|---|"
        ),
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
    text.push('\n');

    let surprises: Vec<_> =
        results.variants().filter(|(_, variant)| variant.outcome() != Outcome::AsExpected).collect();
    if !surprises.is_empty() {
        line(&mut text, format_args!("### Not as expected\n"));
        for (exercise, variant) in surprises {
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
        text.push('\n');
    }

    let circumstances: Vec<_> = results
        .circumstances()
        .into_iter()
        .map(|(label, value)| format!("{label}: {}", escape(&value)))
        .collect();
    line(&mut text, format_args!("<sub>{}</sub>", circumstances.join(" · ")));
    text
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
