//! The page for people: one file, without anything to fetch.

use std::cmp::Reverse;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::facts::Outcome;
use super::format::{ABSENT, count, micros, percent, rate};
use super::{Sources, diff, plot};
use crate::results::{CheckResult, ExerciseResult, Results, VariantResult};
use crate::verdict::SOLUTION;

/// The whole report as one self-contained HTML page.
///
/// `sources` gives the texts whose diff is the lesson; where it knows none, the diffs are left out.
pub fn html(results: &Results, sources: Sources) -> String {
    let title = format!("Stampede: {}", results.headline());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "Stampede " (results.environment.stampede) };
                title { (title) }
                style { (PreEscaped(include_str!("report.css"))) (PreEscaped(plot::stylesheet())) }
            }
            body {
                a.skip href="#results" { "Skip to the results" }
                (page_header(results))
                main #results {
                    @if results.is_long() {
                        (verdicts(index(results)))
                        @for exercise in &results.exercises { (folded(exercise, sources)) }
                    } @else {
                        (verdicts(matrix(results)))
                        @for exercise in &results.exercises { (section(exercise, sources)) }
                    }
                }
                (page_footer())
                script { (PreEscaped(include_str!("report.js"))) }
            }
        }
    }
    .into_string()
}

fn page_header(results: &Results) -> Markup {
    html! {
        header.page {
            p.eyebrow { "Stampede" }
            h1 .(class(results.outcome())) {
                span.mark aria-hidden="true" { (mark(results.outcome())) }
                span.text { (results.headline()) }
            }
            @for warning in results.warnings() { p.warning role="alert" { (warning) } }
            p.command { code { (results.command) } }
            dl.circumstances {
                @for (label, value) in results.circumstances() {
                    div { dt { (label) } dd { (value) } }
                }
            }
        }
    }
}

/// All verdicts at a glance, which `table` holds, and what its marks mean.
fn verdicts(table: Markup) -> Markup {
    html! {
        section aria-labelledby="verdicts" {
            h2 #verdicts { "Verdicts" }
            p.lead {
                "Buggy and tempting code must be "
                em { "exposed" }
                " by the load, fixed code must come out "
                em { "clean" }
                "."
            }
            (table)
            p.key {
                @for outcome in [Outcome::AsExpected, Outcome::Unexpected, Outcome::Invalid] {
                    span .(class(outcome)) {
                        span.mark aria-hidden="true" { (mark(outcome)) }
                        " " (meaning(outcome))
                    }
                }
            }
        }
    }
}

/// Exercises down, kinds across.
///
/// On a phone its rows become blocks, which would cost the table its meaning: the roles keep it.
fn matrix(results: &Results) -> Markup {
    let mut kinds =
        vec![("buggy", "Buggy"), ("tempting", "Tempting"), ("fixed", "Fixed"), (SOLUTION, "Solution")];
    // A solution is judged alone.
    kinds.retain(|(kind, _)| {
        results.variants().any(|(_, variant)| (variant.kind == SOLUTION) == (*kind == SOLUTION))
    });
    html! {
        table.matrix role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { "Exercise" }
                    @for (_, heading) in &kinds { th role="columnheader" scope="col" { (heading) } }
                }
            }
            tbody role="rowgroup" {
                @for exercise in &results.exercises {
                    tr role="row" {
                        (link_to(exercise))
                        @for (kind, _) in &kinds {
                            td role="cell" {
                                @for variant in exercise.variants.iter().filter(|variant| variant.kind == *kind) {
                                    (chip(variant, "verdict"))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A low row for each of many exercises, those with surprises first. Its rows become blocks like those of the [`matrix`].
fn index(results: &Results) -> Markup {
    let mut exercises: Vec<&ExerciseResult> = results.exercises.iter().collect();
    exercises.sort_by_key(|exercise| Reverse(exercise.outcome()));
    let p99 = |exercise: &ExerciseResult, kind| {
        let variant = exercise.of_kind(kind);
        variant.map_or(ABSENT.into(), |variant| variant.headline_latency(|latency| latency.p99_us))
    };
    html! {
        // The script shows it.
        label.filter hidden { "Filter " input type="search" placeholder="title, id or variant"; }
        table.index role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { "Exercise" }
                    th role="columnheader" scope="col" { "Variants" }
                    th.n role="columnheader" scope="col" { "p99 buggy" }
                    th.n role="columnheader" scope="col" { "p99 fixed" }
                }
            }
            tbody role="rowgroup" {
                @for exercise in exercises {
                    tr role="row" {
                        (link_to(exercise))
                        td role="cell" {
                            @for variant in &exercise.variants {
                                // The kind says what is expected, so only what came out otherwise needs words.
                                (chip(variant, if variant.outcome() == Outcome::AsExpected { "unseen" } else { "verdict" }))
                            }
                        }
                        td.n role="cell" { (p99(exercise, "buggy")) }
                        td.n role="cell" { (p99(exercise, "fixed")) }
                    }
                }
            }
        }
    }
}

fn link_to(exercise: &ExerciseResult) -> Markup {
    html! {
        th role="rowheader" scope="row" {
            a href={ "#" (exercise.id) } { (exercise.title) }
            code { (exercise.id) }
        }
    }
}

/// A variant by its mark and name, with its verdict in a span of this class.
fn chip(variant: &VariantResult, verdict_class: &str) -> Markup {
    let outcome = variant.outcome();
    html! {
        span.chip .(class(outcome)) {
            span.mark aria-hidden="true" { (mark(outcome)) }
            span.name { (variant.name) }
            span.(verdict_class) { (variant.verdict_words()) }
            span.unseen { " (" (meaning(outcome)) ")" }
        }
    }
}

/// The section of one exercise among many: open only where it has a surprise.
///
/// The section's id is inside, not on the fold itself, because browsers open the folds around what a link leads to.
fn folded(exercise: &ExerciseResult, sources: Sources) -> Markup {
    let outcome = exercise.outcome();
    html! {
        details.fold open[outcome != Outcome::AsExpected] {
            summary {
                strong { (exercise.title) }
                " " code { (exercise.id) } " "
                span .(class(outcome)) { span.mark aria-hidden="true" { (mark(outcome)) } " " (exercise.tally()) }
            }
            (section(exercise, sources))
        }
    }
}

fn section(exercise: &ExerciseResult, sources: Sources) -> Markup {
    let heading = format!("{}-title", exercise.id);
    let second_plots = plot::seconds(exercise);
    html! {
        section.exercise #(exercise.id) aria-labelledby=(heading) {
            p.eyebrow { (exercise.id) }
            h2 #(heading) { (exercise.title) }
            p.lead { (exercise.symptom) }
            p.load { strong { "Load " } (exercise.load) }

            (variants(exercise))

            div.figures {
                @if let Some(figure) = plot::percentiles(exercise) { (figure) }
                div.stack { @for figure in plot::signals(exercise) { (figure) } }
            }

            @if !second_plots.is_empty() {
                h3 { "Requests per second" }
                p.hint { "First round of each variant, all on the same axes." }
                (plot::seconds_legend(exercise))
                div.multiples { @for figure in &second_plots { (figure) } }
                (seconds(exercise))
            }

            h3 { "Checks" }
            (checks(exercise))

            h3 { "Every scheduled request" }
            (tickets(exercise))
            (requests(exercise))
            @for variant in &exercise.variants { (slowest(variant)) }

            (lesson(exercise, sources))
        }
    }
}

/// The variants beside each other, as the terminal shows them.
fn variants(exercise: &ExerciseResult) -> Markup {
    let headline = exercise.variants.first().map_or("", |variant| &variant.headline);
    table(
        &format!("Variants of {}", exercise.title),
        html! {
            caption { "Latency and throughput of " code { (headline) } ", successes only; response time from the intended start." }
            thead {
                tr {
                    th scope="col" { "Variant" }
                    th scope="col" { "Verdict" }
                    th scope="col" { "What failed" }
                    @for heading in ["Throughput", "p50", "p99", "p99.9", "p99 × buggy", "Errors"] {
                        th.n scope="col" { (heading) }
                    }
                }
            }
            @for variant in &exercise.variants {
                tbody {
                    tr {
                        th scope="rowgroup" rowspan="2" title=(variant.claim) {
                            (variant.name)
                            @if variant.name != variant.kind { " " span.kind { (variant.kind) } }
                        }
                        td.words .(class(variant.outcome())) {
                            span.verdict { span.mark aria-hidden="true" { (mark(variant.outcome())) } " " (variant.verdict_words()) }
                        }
                        td.words {
                            (variant.failed_names())
                            @if !variant.must_fail.is_empty() { br; small { "predicted: " (variant.must_fail.join(", ")) } }
                            @if let Some(likeness) = variant.likeness(exercise) { br; small { (likeness) } }
                        }
                        td.n { (rate(variant.throughput)) }
                        td.n { (variant.headline_latency(|latency| latency.p50_us)) }
                        td.n { (variant.headline_latency(|latency| latency.p99_us)) }
                        td.n { (variant.headline_latency(|latency| latency.p999_us)) }
                        td.n { (exercise.p99_to_buggy(variant)) }
                        td.n { (variant.errors()) }
                    }
                    // A sentence, so it has the whole width: in a column it would be narrow, or out of sight.
                    tr.audit { td colspan="8" { span { (variant.audit) } } }
                }
            }
        },
    )
}

/// Checks down, variants across.
fn checks(exercise: &ExerciseResult) -> Markup {
    let mut rows: Vec<&CheckResult> = Vec::new();
    let same = |a: &CheckResult, b: &CheckResult| a.name == b.name;
    for check in exercise.variants.iter().flat_map(|variant| &variant.checks) {
        if !rows.iter().any(|row| same(row, check)) {
            rows.push(check);
        }
    }
    table(
        &format!("Checks of {}", exercise.title),
        html! {
            thead {
                tr {
                    th scope="col" { "Check" }
                    th scope="col" { "Expected" }
                    @for variant in &exercise.variants { th scope="col" { (variant.name) } }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" { (row.name) " " span.kind { (row.kind) } }
                        td.words { (row.expected) }
                        @for variant in &exercise.variants {
                            @match variant.checks.iter().find(|check| same(check, row)) {
                                None => td { (ABSENT) },
                                Some(check) => td.words {
                                    @if check.skipped.is_some() {
                                        span.mark aria-hidden="true" { (ABSENT) } span.unseen { "not made: " }
                                    } @else if check.held {
                                        span.held { span.mark aria-hidden="true" { "✔\u{FE0E}" } span.unseen { "held: " } }
                                    } @else {
                                        span.broke { span.mark aria-hidden="true" { "✘\u{FE0E}" } span.unseen { "failed: " } }
                                    }
                                    " " (check.seen())
                                    // A limit that was measured along differs from one variant to the next.
                                    @if check.expected != row.expected { br; small { "expected: " (check.expected) } }
                                },
                            }
                        }
                    }
                }
            }
        },
    )
}

fn tickets(exercise: &ExerciseResult) -> Markup {
    table(
        &format!("Accounting of {}", exercise.title),
        html! {
            thead {
                tr {
                    th scope="col" { "Variant" }
                    th.n scope="col" { "Scheduled" }
                    @for heading in ["= ok", "+ failed", "+ timed out", "+ in flight", "+ never sent"] {
                        th.n scope="col" { (heading) }
                    }
                    th scope="col" { "Sum" }
                }
            }
            tbody {
                @for variant in &exercise.variants {
                    @let tickets = &variant.tickets;
                    tr {
                        th scope="row" { (variant.name) }
                        td.n { (count(tickets.scheduled)) }
                        @for part in [tickets.ok, tickets.failed, tickets.timed_out, tickets.in_flight, tickets.never_sent] {
                            td.n { (count(part)) " " span.share { (percent(part, tickets.scheduled)) } }
                        }
                        td {
                            @if tickets.balanced() { span.held { "✔\u{FE0E} adds up" } }
                            @else { span.broke { "✘\u{FE0E} does not add up" } }
                        }
                    }
                }
            }
        },
    )
}

fn requests(exercise: &ExerciseResult) -> Markup {
    html! {
        details {
            summary { "All requests by outcome" }
            (table(&format!("Requests of {}", exercise.title), html! {
                thead {
                    tr {
                        th scope="col" { "Variant" }
                        th scope="col" { "Request" }
                        th scope="col" { "Outcome" }
                        @for heading in ["Count", "p50", "p90", "p99", "p99.9", "Max", "Service p99", "Lag p99"] {
                            th.n scope="col" { (heading) }
                        }
                    }
                }
                tbody {
                    @for variant in &exercise.variants {
                        @for stats in &variant.requests {
                            tr {
                                th scope="row" { (variant.name) }
                                td { (stats.name) }
                                td { @if stats.failed { span.broke { (stats.outcome) ", a failure" } } @else { (stats.outcome) } }
                                td.n { (count(stats.count)) }
                                @let response = &stats.response;
                                @for us in [
                                    response.p50_us, response.p90_us, response.p99_us, response.p999_us, response.max_us,
                                    stats.service.p99_us, stats.lag.p99_us,
                                ] {
                                    td.n { @if stats.count == 0 { (ABSENT) } @else { (micros(us as f64)) } }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// Where to begin to look for the reason of a slow answer.
fn slowest(variant: &VariantResult) -> Markup {
    if variant.slowest.is_empty() {
        return html! {};
    }
    html! {
        details {
            summary { "Slowest requests of " (variant.name) }
            p.hint {
                "A run with " code { "RUST_LOG=target_app=info" }
                " has a line for each request, with its trace id, in the logs beside this report."
            }
            (table(&format!("Slowest requests of {}", variant.name), html! {
                thead {
                    tr {
                        th scope="col" { "Request" }
                        th scope="col" { "Outcome" }
                        @for heading in ["Response", "Service", "Lag", "Intended at"] { th.n scope="col" { (heading) } }
                        th scope="col" { "Trace id" }
                    }
                }
                tbody {
                    @for slow in &variant.slowest {
                        tr {
                            th scope="row" { (slow.request) }
                            td { (slow.outcome) }
                            @for us in [slow.response_us, slow.service_us, slow.lag_us] { td.n { (micros(us as f64)) } }
                            td.n { (format!("{:.3} s", slow.at_s)) }
                            td { code { (slow.trace_id) } }
                        }
                    }
                }
            }))
        }
    }
}

/// What the plots of each second show, for those who cannot see them.
fn seconds(exercise: &ExerciseResult) -> Markup {
    let end =
        exercise.variants.iter().flat_map(|variant| &variant.series).map(|second| second.second + 1).max();
    html! {
        details {
            summary { "The same as a table" }
            (table(&format!("Requests per second of {}", exercise.title), html! {
                thead {
                    tr {
                        th.n scope="col" { "Second" }
                        @for variant in &exercise.variants { th.n scope="col" { (variant.name) ": completed / failed" } }
                    }
                }
                tbody {
                    @for at in 0..end.unwrap_or(0) {
                        tr {
                            th.n scope="row" { (at) }
                            @for variant in &exercise.variants {
                                td.n {
                                    @match variant.series.iter().find(|second| second.second == at) {
                                        None => (ABSENT),
                                        Some(second) => {
                                            (count(second.completed.values().sum())) " / " (count(second.failed.values().sum()))
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// The diffs: to the fixed variant in the open, to the tempting ones folded.
fn lesson(exercise: &ExerciseResult, sources: Sources) -> Markup {
    let source = |variant: &VariantResult| sources(&exercise.id, &variant.name);
    let buggy = exercise.of_kind("buggy").and_then(source);
    let Some(buggy) = buggy else { return html! {} };
    let others = |kind: &'static str| {
        exercise
            .variants
            .iter()
            .filter(move |variant| variant.kind == kind)
            .filter_map(|variant| Some((variant, source(variant)?)))
    };
    let size = |text| {
        let (gone, come) = diff::size(buggy, text);
        html! { span.size { span.ins { "+" (come) } " " span.del { "−" (gone) } } }
    };
    html! {
        @for (variant, text) in others("fixed") {
            h3 { "The lesson: buggy → " (variant.name) " " (size(text)) }
            p.hint { (variant.claim) }
            (diff::unified(buggy, text, &format!("Diff of {}, buggy to {}", exercise.title, variant.name)))
        }
        @for (variant, text) in others("tempting") {
            details {
                summary { "buggy → " (variant.name) ", " (variant.verdict_words()) " " (size(text)) }
                p.hint { (variant.claim) }
                (diff::unified(buggy, text, &format!("Diff of {}, buggy to {}", exercise.title, variant.name)))
            }
        }
    }
}

fn page_footer() -> Markup {
    html! {
        footer.page {
            h2 { "How to read this" }
            ul {
                li { strong { "Response time" } " counts from the moment when the schedule wanted the request sent, not from when it was sent: a server that makes its users queue cannot hide the wait. " em { "Service" } " counts from the sending, " em { "lag" } " is the difference." }
                li { strong { "Every scheduled request" } " is accounted for: scheduled = ok + failed + timed out + in flight + never sent." }
                li { strong { "Rounds" } " of the variants are interleaved (A B B A), each on a fresh server process and a fresh database, so that a drifting machine favours none. Latencies are of all rounds together; a check holds when it held in every round." }
                li { strong { "A verdict" } " is " em { "exposed" } " when an invariant, an objective or a signal failed, " em { "clean" } " when all held, and " em { "invalid" } " when a control failed, or only limits in time were missed while a reference server beside it was slow as well: then the numbers mean nothing." }
                li { strong { "Predicted" } " are the checks that follow from a variant's defect on every machine. It comes out as expected only when these failed; others may fail beside them." }
                li { strong { "Exit codes" } ": 0 all as expected, 1 something was not, 2 bad usage, 3 the run was invalid." }
            }
        }
    }
}

/// A table that scrolls in its own box where the page is narrow.
fn table(label: &str, content: Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { table { (content) } } }
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::AsExpected => "good",
        Outcome::Unexpected => "bad",
        Outcome::Invalid => "odd",
    }
}

/// The mark as a character of text, which some systems would draw as an emoji.
fn mark(outcome: Outcome) -> String {
    format!("{}\u{FE0E}", outcome.mark())
}

fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::AsExpected => "as expected",
        Outcome::Unexpected => "not as expected",
        Outcome::Invalid => "a control failed: the numbers mean nothing",
    }
}
