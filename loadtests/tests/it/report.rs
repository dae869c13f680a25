//! The reports, drawn from results such as a workshop run leaves behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use loadtests::report::{self, facts::Outcome};
use loadtests::results::*;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use serde_json::Value;

/// A run of three exercises in which everything came out as expected.
fn good_run() -> Results {
    Results {
        schema_version: SCHEMA_VERSION,
        run_id: "0199c1f0-5a1e-7cc0-9d3c-6f0a3a6f7b11".into(),
        command: "stampede compare oversold-stock frozen-health slow-analytics --seed 42 --rounds 4".into(),
        started_at: "2026-11-21T09:30:00Z".into(),
        duration_seconds: 412.6,
        complete: true,
        failure: None,
        environment: Environment {
            stampede: "0.1.0".into(),
            postgres: Some("15.18".into()),
            database: "server binaries found on this machine".into(),
            os: "linux x86_64".into(),
            cpus: 8,
            load_average: Some(0.42),
            stolen_share: Some(0.01),
            scale: "small".into(),
            db_rtt_us: 500,
        },
        generator: Generator {
            mode: "open".into(),
            seed: 42,
            rounds: 4,
            repeated_rounds: 1,
            timer_lag_p99_us: 1_210,
            saturated: false,
            ahead: false,
        },
        exercises: vec![oversold_stock(), frozen_health(), slow_analytics()],
    }
}

fn oversold_stock() -> ExerciseResult {
    let variant = |name, kind, sold: u64, p50, p99, deadlocks| {
        let mut variant = variant(name, kind, "checkout", 100.0 / 12.0, latency(p50, p99), 0);
        let refused = 6_000 - sold;
        variant.requests[0] = request("checkout", "ok", sold, seen_by(sold, latency(p50, p99)));
        variant.requests.push(request("checkout", "short-stock", refused, latency(p50 / 2, p99 / 2)));
        variant.audit = format!("sold {sold} of 100 in stock");
        variant.checks = vec![
            check(
                "units-sold",
                "invariant",
                sold <= 100,
                "at most 100 units sold",
                &format!("{sold} units sold"),
            ),
            check(
                "deadlocks",
                "signal",
                deadlocks == 0,
                "no deadlock in the log",
                &format!("{deadlocks} deadlocks"),
            ),
            check("sold-out", "control", true, "the stock runs out", "ran out after 1.2 s"),
        ];
        variant.signals = vec![
            signal("units sold", sold as f64, "units", Some(100.0)),
            signal("deadlocks", deadlocks as f64, "deadlocks", None),
        ];
        variant
    };
    ExerciseResult {
        id: "oversold-stock".into(),
        title: "The stock that sold twice".into(),
        symptom: "In a flash sale, more units are sold than were in stock.".into(),
        load: "Spike of 500 checkouts per second over 12 s, Poisson arrivals, 100 units of one product, 2 replicas, \
               pool of 10 each."
            .into(),
        variants: vec![
            variant("buggy", "buggy", 137, 8_400, 46_000, 0),
            variant("transaction", "tempting", 129, 9_900, 61_000, 3),
            variant("process-lock", "tempting", 114, 210_000, 1_940_000, 0),
            variant("row-lock", "fixed", 100, 31_000, 188_000, 0),
            variant("fixed", "fixed", 100, 7_100, 29_000, 0),
        ],
    }
}

fn frozen_health() -> ExerciseResult {
    let variant = |name, kind, p50, p99: u64, timed_out| {
        let mut variant = variant(name, kind, "health", 50.0, latency(p50, p99), timed_out);
        let held = p99 <= 100_000;
        variant.requests.push(request("report", "ok", 240, latency(420_000, 1_300_000)));
        variant.audit = format!("{timed_out} of 3,000 health checks missed their deadline");
        variant.checks = vec![check(
            "health-p99",
            "objective",
            held,
            "p99 of at most 100 ms",
            &format!("p99 of {} ms", p99 / 1000),
        )];
        variant.signals = vec![
            signal("health p99 under reports", p99 as f64 / 1e3, "ms", Some(100.0)),
            signal("p99 ÷ idle", p99 as f64 / 1_900.0, "", None),
        ];
        variant
    };
    ExerciseResult {
        id: "frozen-health".into(),
        title: "The health check that froze".into(),
        symptom: "While monthly reports are made, the load balancer takes healthy servers out.".into(),
        load:
            "50 health checks per second, constant, beside 4 reports per second for 60 s; 2 worker threads."
                .into(),
        variants: vec![
            variant("buggy", "buggy", 310_000, 2_900_000, 84),
            variant("spawned", "tempting", 140_000, 1_150_000, 12),
            variant("yielding", "tempting", 22_000, 240_000, 0),
            variant("fixed", "fixed", 1_400, 4_800, 0),
        ],
    }
}

fn slow_analytics() -> ExerciseResult {
    let variant = |name, kind, p50, p99, statements: u64| {
        let mut variant = variant(name, kind, "analytics", 19.6, latency(p50, p99), 0);
        variant.audit = "all 1,176 answers were right".into();
        variant.checks = vec![
            check(
                "statements",
                "signal",
                statements <= 3,
                "at most 3 statements per request",
                &format!("{statements} statements per request"),
            ),
            check("answers", "invariant", true, "totals equal the orders'", "1,176 of 1,176 equal"),
        ];
        variant.signals =
            vec![signal("statements per analytics request", statements as f64, "statements", Some(3.0))];
        variant
    };
    ExerciseResult {
        id: "slow-analytics".into(),
        title: "The dashboard that grew slow".into(),
        symptom: "The analytics page takes longer with every order a customer places.".into(),
        load: "20 requests per second, Poisson, for 60 s; the heavy user with 120 orders.".into(),
        variants: vec![
            variant("buggy", "buggy", 264_000, 640_000, 401),
            variant("parallel", "tempting", 118_000, 910_000, 401),
            variant("fixed", "fixed", 3_900, 9_700, 1),
        ],
    }
}

/// A variant whose verdict is the expected one. Requests that time out do so in the fourth second.
fn variant(
    name: &str,
    kind: &str,
    headline: &str,
    throughput: f64,
    response: LatencyStats,
    timed_out: u64,
) -> VariantResult {
    let expected = if kind == "fixed" { Verdict::Clean } else { Verdict::Exposed };
    let mut requests = vec![request(headline, "ok", 2_900, response)];
    if timed_out > 0 {
        requests.push(RequestStats {
            failed: true,
            ..request(headline, "timeout", timed_out, latency(5_000_000, 5_000_400))
        });
    }
    VariantResult {
        name: name.into(),
        kind: kind.into(),
        claim: format!("What the author of {name} would say for it."),
        verdict: expected,
        expected,
        must_fail: Vec::new(),
        fails_like: Vec::new(),
        rounds: 4,
        checks: Vec::new(),
        audit: String::new(),
        requests,
        headline: headline.into(),
        throughput,
        tickets: Tickets { scheduled: 6_000, ok: 6_000 - timed_out, timed_out, ..Tickets::default() },
        signals: Vec::new(),
        series: (0..12)
            .map(|second| Second {
                second,
                completed: BTreeMap::from([
                    (headline.into(), 40 + u64::from(second * 7 % 5)),
                    ("browse".into(), 20 + u64::from(second * 3 % 7)),
                ]),
                failed: match timed_out {
                    0 => BTreeMap::new(),
                    some => BTreeMap::from([(headline.into(), if second > 3 { some / 4 } else { 0 })]),
                },
                p99_us: BTreeMap::from([(headline.into(), 10_000)]),
            })
            .collect(),
        incidents: Vec::new(),
        slowest: vec![SlowRequest {
            request: headline.into(),
            outcome: "ok".into(),
            response_us: 512_000,
            service_us: 212_000,
            lag_us: 300_000,
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            at_s: 1.5,
        }],
    }
}

fn request(name: &str, outcome: &str, count: u64, response: LatencyStats) -> RequestStats {
    RequestStats {
        name: name.into(),
        outcome: outcome.into(),
        failed: false,
        count,
        service: response.clone(),
        response,
        lag: latency(90, 800),
    }
}

/// A curve that passes through the given median and p99, bends upwards, and ends at a maximum not far beyond.
fn latency(p50_us: u64, p99_us: u64) -> LatencyStats {
    let nines = |percentile: f64| -(1.0 - percentile / 100.0).max(4e-4).log10();
    let growth = (p99_us.max(1) as f64 / p50_us.max(1) as f64).ln();
    let at = |percentile: f64| {
        let way = (nines(percentile) - nines(50.0)) / (nines(99.0) - nines(50.0));
        (p50_us as f64 * (growth * way.signum() * way.abs().powf(1.4)).exp()).round() as u64
    };
    let percentiles = (0..20).map(|step| f64::from(step) * 5.0);
    let tail = [96.0, 97.0, 98.0, 98.5, 99.0, 99.2, 99.5, 99.7, 99.8, 99.9, 99.95, 100.0];
    LatencyStats {
        p50_us,
        p90_us: at(90.0),
        p99_us,
        p999_us: at(99.9),
        max_us: at(100.0),
        curve: percentiles.chain(tail).map(|percentile| (percentile, at(percentile))).collect(),
    }
}

/// What is left of the tail when there are only so many requests.
fn seen_by(count: u64, mut stats: LatencyStats) -> LatencyStats {
    stats.curve.retain(|(percentile, _)| *percentile <= 100.0 - 50.0 / count as f64);
    stats.max_us = stats.curve.last().unwrap().1;
    stats.p999_us = stats.max_us;
    stats
}

fn check(name: &str, kind: &str, held: bool, expected: &str, observed: &str) -> CheckResult {
    CheckResult {
        name: name.into(),
        kind: kind.into(),
        held,
        doubt: None,
        skipped: None,
        expected: expected.into(),
        observed: observed.into(),
    }
}

fn signal(name: &str, value: f64, unit: &str, limit: Option<f64>) -> SignalValue {
    SignalValue { name: name.into(), value, unit: unit.into(), limit, worse: Worse::Higher }
}

/// A run in which all went wrong that can: cut short, saturated, invalid, unexpected, empty, hostile, lost tickets.
fn odd_run() -> Results {
    let mut results = good_run();
    results.complete = false;
    results.generator.saturated = true;
    results.generator.timer_lag_p99_us = 48_000;
    results.environment.stolen_share = Some(0.12);

    let stock = &mut results.exercises[0].variants;
    stock[1].audit =
        format!("<script>alert('stock & more')</script> | *{}*", "a very long audit ".repeat(20));
    stock[3].verdict = Verdict::Exposed;
    stock[3].checks[0].held = false;
    stock[3].checks[0].observed = "101 units <sold>".into();

    let health = &mut results.exercises[1].variants;
    health[1].verdict = Verdict::Invalid;
    health[1].checks.push(check("kept-up", "control", false, "timer lag p99 of at most 5 ms", "48 ms"));
    health[3].requests[0].response =
        LatencyStats { curve: vec![(50.0, 0), (100.0, 0)], ..LatencyStats::default() };

    let analytics = &mut results.exercises[2].variants;
    analytics[0].requests.clear();
    analytics[0].series.clear();
    analytics[0].tickets = Tickets::default();
    analytics[0].throughput = 0.0;
    analytics[0].signals[0].value = 0.0;
    analytics[1].tickets.ok -= 7;
    results
}

fn sources(exercise: &str, variant: &str) -> Option<&'static str> {
    match (exercise, variant) {
        ("oversold-stock", "buggy") => Some(BUGGY),
        ("oversold-stock", "transaction") => Some(TRANSACTION),
        ("oversold-stock", "fixed") => Some(FIXED),
        _ => None,
    }
}

/// A run of so many exercises, in which the 11th has an unexpected variant and the 21st an invalid one.
fn long_run(exercises: usize) -> Results {
    let mut results = good_run();
    let few = std::mem::take(&mut results.exercises);
    results.exercises = (few.into_iter().cycle().take(exercises).enumerate())
        .map(|(n, exercise)| ExerciseResult {
            id: format!("{}-{}", exercise.id, n + 1),
            title: format!("{} ({})", exercise.title, n + 1),
            ..exercise
        })
        .collect();
    if let Some(exercise) = results.exercises.get_mut(10) {
        let fixed = exercise.variants.last_mut().unwrap();
        fixed.verdict = Verdict::Exposed;
        fixed.checks[0].held = false;
        fixed.checks[0].observed = "p99 of 212 ms".into();
    }
    if let Some(exercise) = results.exercises.get_mut(20) {
        let buggy = &mut exercise.variants[0];
        buggy.verdict = Verdict::Invalid;
        buggy.checks.push(check("kept-up", "control", false, "timer lag p99 of at most 5 ms", "48 ms"));
    }
    results
}

const BUGGY: &str = r#"use super::*;

/// Takes `quantity` units out of the stock.
pub async fn reserve(pool: &PgPool, product: Uuid, quantity: i32) -> Result<Reserved, Error> {
    let stock: i32 = sqlx::query_scalar("SELECT stock FROM products WHERE id = $1")
        .bind(product)
        .fetch_one(pool)
        .await?;
    if stock < quantity {
        return Ok(Reserved::ShortStock);
    }
    sqlx::query("UPDATE products SET stock = $2 WHERE id = $1")
        .bind(product)
        .bind(stock - quantity)
        .execute(pool)
        .await?;
    Ok(Reserved::Taken)
}
"#;

const TRANSACTION: &str = r#"use super::*;

/// Takes `quantity` units out of the stock.
pub async fn reserve(pool: &PgPool, product: Uuid, quantity: i32) -> Result<Reserved, Error> {
    // A transaction makes the read and the write one.
    let mut tx = pool.begin().await?;
    let stock: i32 = sqlx::query_scalar("SELECT stock FROM products WHERE id = $1")
        .bind(product)
        .fetch_one(&mut *tx)
        .await?;
    if stock < quantity {
        return Ok(Reserved::ShortStock);
    }
    sqlx::query("UPDATE products SET stock = $2 WHERE id = $1")
        .bind(product)
        .bind(stock - quantity)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Reserved::Taken)
}
"#;

const FIXED: &str = r#"use super::*;

/// Takes `quantity` units out of the stock.
pub async fn reserve(pool: &PgPool, product: Uuid, quantity: i32) -> Result<Reserved, Error> {
    // The condition travels with the write, so no other request can come between.
    let taken = sqlx::query("UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2")
        .bind(product)
        .bind(quantity)
        .execute(pool)
        .await?;
    if taken.rows_affected() == 0 {
        return Ok(Reserved::ShortStock);
    }
    Ok(Reserved::Taken)
}
"#;

/// A folder of its own for one test, empty at the start.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report").join(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
        _ => fs::create_dir_all(&folder).unwrap(),
    }
    folder
}

/// The tags that are open at each point must close in order; attributes are quoted, so `>` ends a tag.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 3] = ["meta", "br", "input"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("every tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        if tag.starts_with('!') || tag.ends_with('/') || VOID.contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed out of order, before {:.80}", rest);
        } else {
            open.push(name);
            // What these hold is not markup.
            if ["style", "script"].contains(&name) {
                rest = &rest[rest.find(&format!("</{name}")).expect("it ends")..];
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn results_survive_json() {
    for results in [good_run(), odd_run()] {
        let json = serde_json::to_value(&results).unwrap();
        let back: Results = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), json);
    }
}

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Others read these names: one that changes needs a new schema version, and an entry here.
#[test]
fn the_names_in_results_json_stay() {
    assert_eq!(SCHEMA_VERSION, 1);
    let json = serde_json::to_value(good_run()).unwrap();
    let run = "command complete duration_seconds environment exercises failure generator run_id schema_version started_at";
    assert_eq!(keys(&json).join(" "), run);
    let environment = "cpus database db_rtt_us load_average os postgres scale stampede stolen_share";
    assert_eq!(keys(&json["environment"]).join(" "), environment);
    let generator = "ahead mode repeated_rounds rounds saturated seed timer_lag_p99_us";
    assert_eq!(keys(&json["generator"]).join(" "), generator);
    let exercise = &json["exercises"][0];
    assert_eq!(keys(exercise).join(" "), "id load symptom title variants");
    let variant = &exercise["variants"][0];
    let names = "audit checks claim expected headline kind must_fail name requests rounds series signals slowest throughput tickets verdict";
    assert_eq!(keys(variant).join(" "), names);
    assert_eq!(variant["verdict"], "exposed");
    assert_eq!(keys(&variant["checks"][0]).join(" "), "expected held kind name observed");
    assert_eq!(keys(&variant["signals"][0]).join(" "), "limit name unit value worse");
    let tickets = "failed in_flight never_sent ok scheduled timed_out";
    assert_eq!(keys(&variant["tickets"]).join(" "), tickets);
    let request = &variant["requests"][0];
    assert_eq!(keys(request).join(" "), "count failed lag name outcome response service");
    for times in ["response", "service", "lag"] {
        let percentiles = "curve max_us p50_us p90_us p999_us p99_us";
        assert_eq!(keys(&request[times]).join(" "), percentiles);
    }
}

#[test]
fn headline_counts_what_came_out_as_expected() {
    assert_eq!(good_run().headline(), "12 of 12 variants as expected");
    assert_eq!(good_run().outcome(), Outcome::AsExpected);
    assert_eq!(odd_run().headline(), "10 of 12 variants as expected, 1 unexpected, 1 invalid, interrupted");
    assert_eq!(odd_run().outcome(), Outcome::Invalid);
    assert_eq!(Results { complete: false, ..good_run() }.outcome(), Outcome::Invalid);
}

#[test]
fn html_is_well_formed_and_fetches_nothing() {
    for results in [good_run(), odd_run(), long_run(32)] {
        let html = report::html(&results, &sources);
        assert_well_formed(&html);
        for fetch in ["http:", "https:", "src=", "url(", "@import", "<link"] {
            assert!(!html.contains(fetch), "the page has {fetch}");
        }
    }
}

#[test]
fn html_gives_every_plot_words() {
    let html = report::html(&good_run(), &sources);
    let plots: Vec<_> = html.split("<svg").skip(1).map(|rest| rest.split("</svg>").next().unwrap()).collect();
    let described = plots.iter().filter(|svg| svg.contains("<title>") && svg.contains("<desc>")).count();
    let ornaments = plots.iter().filter(|svg| svg.contains("aria-hidden=\"true\"")).count();
    // Percentiles: 3. Signals: 2 + 2 + 1. Seconds: one for each of the twelve variants.
    assert_eq!(described, 3 + 5 + 12);
    assert_eq!(described + ornaments, plots.len());
    assert!(html.contains("<title>units sold: buggy 137, fixed 100</title>"));
    assert!(html.contains(
        "<desc>units sold: buggy 137, transaction 129, process-lock 114, row-lock 100, fixed 100; limit 100.</desc>"
    ));
    // A tempting variant that is worse than the buggy one is part of the finding.
    assert!(html.contains("<title>deadlocks: buggy 0, transaction 3, fixed 0</title>"));
}

#[test]
fn html_escapes_what_results_and_sources_say() {
    let html = report::html(&odd_run(), &|_, _| Some("a < b; // </pre><script>"));
    assert!(html.contains("&lt;script&gt;alert("));
    assert!(html.contains("101 units &lt;sold&gt;"));
    assert_eq!(html.matches("<script>").count(), 1, "the page's own is the only script");
}

#[test]
fn html_says_loudly_what_makes_the_numbers_doubtful() {
    let odd = report::html(&odd_run(), &sources);
    for warning in [
        "Interrupted: partial numbers",
        "Generator saturated",
        "its host gave 12 % of the processors to others",
        "accounted for: slow-analytics/parallel",
    ] {
        assert!(odd.contains(warning), "no word of {warning}");
    }
    assert!(odd.contains("does not add up"));
    assert!(!report::html(&good_run(), &sources).contains("role=\"alert\""));
}

#[test]
fn html_lists_the_slowest_requests_with_their_traces() {
    let html = report::html(&good_run(), &sources);
    assert_eq!(html.matches("Slowest requests of row-lock</summary>").count(), 1);
    for cell in ["512 ms", "212 ms", "300 ms", "1.500 s", "4bf92f3577b34da6a3ce929d0e0e4736"] {
        assert_eq!(html.matches(&format!(">{cell}<")).count(), 12, "{cell}, once for each variant");
    }
    let mut without = good_run();
    without.exercises.iter_mut().flat_map(|e| &mut e.variants).for_each(|variant| variant.slowest.clear());
    assert!(!report::html(&without, &sources).contains("Slowest requests"));
}

#[test]
fn results_without_slow_requests_can_still_be_read() {
    let mut written = serde_json::to_value(good_run()).unwrap();
    for variant in written["exercises"].as_array_mut().unwrap() {
        for variant in variant["variants"].as_array_mut().unwrap() {
            variant.as_object_mut().unwrap().remove("slowest").expect("it is written");
        }
    }
    let read: Results = serde_json::from_value(written).unwrap();
    assert!(read.exercises[0].variants[0].slowest.is_empty());
}

#[test]
fn html_shows_the_diff_where_there_are_sources() {
    let html = report::html(&good_run(), &sources);
    assert!(html.contains("The lesson: buggy → fixed"));
    assert!(html.contains("buggy → transaction, exposed"));
    assert!(!html.contains("buggy → process-lock"), "it has no source");
    // Words that changed are set off within their line.
    assert!(html.contains("fetch_one(<mark>pool</mark>)"));
    assert!(html.contains("fetch_one(<mark>&amp;mut *tx</mark>)"));
    assert!(!report::html(&good_run(), &|_, _| None).contains("The lesson"));
}

/// The index of the page: one text per row.
fn index_rows(html: &str) -> Vec<&str> {
    let (_, index) = html.split_once("<table class=\"index\"").expect("an index");
    let (index, _) = index.split_once("</table>").unwrap();
    let (_, rows) = index.split_once("<tbody").unwrap();
    rows.split("<tr").skip(1).collect()
}

#[test]
fn html_of_many_exercises_has_an_index_that_begins_with_the_surprises() {
    let html = report::html(&long_run(32), &sources);
    let rows = index_rows(&html);
    assert_eq!(rows.len(), 32);
    let first = ["slow-analytics-21", "frozen-health-11", "oversold-stock-1", "frozen-health-2"];
    for (row, id) in rows.iter().zip(first) {
        assert!(row.contains(&format!("<a href=\"#{id}\">")), "{id}: {row}");
    }
    assert!(rows[1].contains("<span class=\"verdict\">exposed, expected clean</span>"), "{}", rows[1]);
    assert_eq!(rows[1].matches("class=\"verdict\"").count(), 1, "only the surprise has words: {}", rows[1]);
    assert!(rows[1].contains(">2.90 s</td>") && rows[1].contains(">4.80 ms</td>"), "{}", rows[1]);
}

#[test]
fn html_of_many_exercises_folds_those_without_a_surprise_around_what_the_index_links_to() {
    let html = report::html(&long_run(32), &sources);
    let folds: Vec<_> = html.split("<details class=\"fold\"").skip(1).collect();
    assert_eq!(folds.len(), 32);
    for (n, fold) in folds.iter().enumerate() {
        assert_eq!(fold.starts_with(" open>"), [10, 20].contains(&n), "fold {n}");
        // A browser opens a fold for a target that is in it, but not in its summary.
        let (summary, content) = fold.split_once("</summary>").unwrap();
        assert!(summary.contains(if n == 10 { "3 of 4 as expected" } else { " as expected" }), "{summary}");
        assert!(content.starts_with("<section class=\"exercise\" id=\""), "{content:.80}");
    }
}

#[test]
fn html_of_few_exercises_has_neither_an_index_nor_folds() {
    for exercises in 1..=5 {
        let html = report::html(&long_run(exercises), &sources);
        assert_eq!(html.contains("<table class=\"matrix\""), exercises < 5);
        for part in ["<table class=\"index\"", "<details class=\"fold\"", "<label class=\"filter\" hidden"] {
            assert_eq!(html.contains(part), exercises == 5, "{part} of {exercises}");
        }
    }
}

#[test]
fn html_of_an_exercise_that_is_no_longer_registered_is_still_a_page() {
    let mut results = long_run(5);
    // What becomes of a solution names variants, whose claims only the catalogue knows.
    let variant = &mut results.exercises[4].variants[0];
    variant.kind = loadtests::verdict::SOLUTION.into();
    variant.fails_like = vec!["a-variant-of-old".into()];
    let html = report::html(&results, &|_, _| None);
    assert_well_formed(&html);
    assert!(html.contains("fails like a-variant-of-old"));
}

#[test]
fn html_of_no_exercise_is_still_a_page() {
    let mut results = good_run();
    results.exercises.clear();
    let html = report::html(&results, &sources);
    assert_well_formed(&html);
    assert!(html.contains("0 of 0 variants as expected"));
}

#[test]
fn markdown_keeps_hostile_text_in_its_cell() {
    let text = report::markdown(&odd_run());
    assert!(
        text.contains("## Stampede: ⚠ 10 of 12 variants as expected, 1 unexpected, 1 invalid, interrupted")
    );
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script>"));
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 2 + 12);
    for row in rows {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 12, "{row}");
    }
}

#[test]
fn markdown_lists_what_went_wrong_and_only_that() {
    let odd = report::markdown(&odd_run());
    assert!(odd.contains("- **oversold-stock / row-lock** (fixed): exposed, expected clean"));
    assert!(
        odd.contains(
            "  - invariant `units-sold`: expected at most 100 units sold, saw 101 units &lt;sold&gt;"
        )
    );
    assert!(odd.contains("- **frozen-health / spawned** (tempting): invalid, expected exposed"));
    let good = report::markdown(&good_run());
    assert!(!good.contains("Not as expected"));
    assert!(good.contains("| slow-analytics | fixed | ✔ clean | – | 19.6/s | 3.90 ms | 9.70 ms |"), "{good}");
    assert!(good.contains("Seed: 42"));
}

#[test]
fn markdown_of_many_exercises_begins_with_what_went_wrong_and_folds_the_table() {
    let text = report::markdown(&long_run(32));
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is missing: {text}"));
    let wrong = at("- **frozen-health-11 / fixed** (fixed): exposed, expected clean");
    let fold = at("<details>\n<summary>All 129 variants of 32 exercises</summary>\n\n| exercise |");
    let end = at("|\n\n</details>\n");
    assert!(wrong < fold && fold < end && end < at("<sub>"));
    assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 2 + 129);
    assert!(text.len() < 65_536, "GitHub takes no longer comment");
    assert!(!report::markdown(&long_run(4)).contains("<details>"));
}

#[test]
fn junit_has_a_failure_for_the_unexpected_and_an_error_for_the_invalid() {
    let report = Report::deserialize_from_str(&report::junit(&odd_run()).unwrap()).unwrap();
    let case = |suite: &str, name: &str| {
        let suite = report.test_suites.iter().find(|found| found.name.as_str() == suite).unwrap();
        suite.test_cases.iter().find(|case| case.name.as_str() == name).unwrap().clone()
    };
    let failed = |suite, name| match case(suite, name).status {
        TestCaseStatus::NonSuccess { kind, message, description, .. } => {
            Some((kind, message.unwrap().into_string(), description.map(|text| text.into_string())))
        }
        _ => None,
    };
    let (kind, message, checks) = failed("oversold-stock", "row-lock").unwrap();
    assert_eq!(kind, NonSuccessKind::Failure);
    assert_eq!(message, "exposed, expected clean");
    assert_eq!(
        checks.unwrap(),
        "invariant units-sold: expected at most 100 units sold, saw 101 units <sold>"
    );
    assert_eq!(failed("frozen-health", "spawned").unwrap().0, NonSuccessKind::Error);
    assert_eq!(failed("run", "run-complete").unwrap().0, NonSuccessKind::Error);
    assert_eq!(failed("oversold-stock", "buggy"), None);
    assert_eq!(case("oversold-stock", "buggy").time.unwrap().as_secs(), 12 * 4);
    assert_eq!(case("slow-analytics", "buggy").time.unwrap().as_secs(), 0);
}

#[test]
fn junit_of_a_good_run_has_a_success_per_variant() {
    let report = Report::deserialize_from_str(&report::junit(&good_run()).unwrap()).unwrap();
    assert_eq!((report.tests, report.failures, report.errors), (12, 0, 0));
    let names: Vec<_> = report.test_suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(names, ["oversold-stock", "frozen-health", "slow-analytics"]);
}

#[test]
fn terminal_fits_its_width_and_never_loses_the_verdict() {
    for width in [40, 60, 80, 100, 120, 140, 200] {
        for results in [good_run(), odd_run()] {
            let text = report::terminal(&results, false, width);
            for line in text.lines() {
                assert!(line.chars().count() <= usize::from(width), "{width} columns: {line}");
            }
            // Whatever is wrapped, its words are all there.
            let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&results.headline()), "{text}");
            for (_, variant) in results.variants() {
                assert!(text.contains(&format!("{} {}", variant.outcome().mark(), variant.name)), "{text}");
            }
        }
    }
}

#[test]
fn brief_has_one_line_per_variant_in_columns_that_all_exercises_share() {
    for width in [80, 100, 120] {
        let results = long_run(32);
        let text = report::brief(&results, false, width);
        assert!(
            text.lines().all(|line| line.chars().count() <= usize::from(width)),
            "{width} columns: {text}"
        );
        let (table, _) = text.split_once("\n\n").unwrap();
        let lines: Vec<Vec<char>> = table.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(lines.len(), 1 + 129);
        let verdicts = table.lines().next().unwrap().find("verdict").unwrap();
        for ((exercise, variant), line) in results.variants().zip(&lines[1..]) {
            let rest: String = line[verdicts..].iter().collect();
            assert!(rest.starts_with(&variant.verdict.to_string()), "{width} columns: {rest}");
            let before: String = line[..verdicts].iter().collect();
            let name = format!("{} {}", variant.outcome().mark(), variant.name);
            let is_first = exercise.variants[0].name == variant.name;
            assert_eq!(before.trim(), if is_first { format!("{}  {name}", pad(&exercise.id)) } else { name });
        }
    }
}

/// As wide as the longest id of 32 exercises.
fn pad(id: &str) -> String {
    format!("{id:<17}")
}

#[test]
fn brief_names_as_many_failed_checks_as_there_is_room_for() {
    let mut results = good_run();
    let checks = ["sold-within-stock", "stock-adds-up", "only-clean-refusals", "catalogue-p99"];
    results.exercises[0].variants[1].checks =
        checks.map(|name| check(name, "invariant", false, "", "")).to_vec();
    let failed = |width| {
        let text = report::brief(&results, false, width);
        let line = text.lines().find(|line| line.contains("transaction")).unwrap();
        line.split_once("exposed").unwrap().1.trim().to_owned()
    };
    assert_eq!(failed(120), checks.join(", "));
    assert_eq!(failed(100), "sold-within-stock, stock-adds-up, 2 more");
    assert_eq!(failed(80), "sold-within-stock, 3 more");
    assert_eq!(failed(60), "4 checks");
    assert_eq!(failed(40), "");
}

#[test]
fn brief_gives_details_of_surprises_alone_and_ends_with_the_totals() {
    let text = report::brief(&long_run(32), false, 120);
    let (_, ending) = text.split_once("\n\n").unwrap();
    assert_eq!(
        ending,
        "frozen-health-11 fixed was exposed, expected clean:\n  \
         ✘ health-p99 (objective): expected p99 of at most 100 ms; saw p99 of 212 ms\n\n\
         slow-analytics-21 buggy was invalid, expected exposed:\n  \
         ✘ statements (signal): expected at most 3 statements per request; saw 401 statements per request\n  \
         ✘ kept-up (control): expected timer lag p99 of at most 5 ms; saw 48 ms\n\n\
         ⚠ 127 of 129 variants as expected, 1 unexpected, 1 invalid (32 exercises in 6 min 53 s, seed 42)\n"
    );
    let good = report::brief(&good_run(), false, 120);
    let (_, ending) = good.split_once("\n\n").unwrap();
    assert_eq!(ending, "✔ 12 of 12 variants as expected (3 exercises in 6 min 53 s, seed 42)\n");
}

#[test]
fn a_check_that_had_to_fail_and_held_is_among_the_details() {
    let mut results = good_run();
    let buggy = &mut results.exercises[1].variants[0];
    buggy.must_fail = vec!["health-p99".into()];
    buggy.checks[0].held = true;
    buggy.checks[0].observed = "p99 of 97 ms".into();
    buggy.checks.push(check("short-reports", "objective", false, "each within 15 ms", "37 ms"));
    for text in [report::brief(&results, false, 120), report::terminal(&results, false, 120)] {
        let details = "frozen-health buggy was exposed, but not by health-p99:\n  \
                       ✔ health-p99 (objective): expected p99 of at most 100 ms; saw p99 of 97 ms\n  \
                       ✘ short-reports (objective): expected each within 15 ms; saw 37 ms\n\n";
        assert!(text.contains(details), "{text}");
    }
}

#[test]
fn brief_keeps_its_columns_when_it_is_coloured() {
    let results = long_run(32);
    let plain = report::brief(&results, false, 100);
    assert!(!plain.contains('\x1b'));
    let coloured = report::brief(&results, true, 100);
    assert!(coloured.contains("\x1b[31mexposed\x1b[0m") && coloured.contains("\x1b[33minvalid\x1b[0m"));
    let stripped: String = coloured
        .split('\x1b')
        .enumerate()
        .map(|(n, part)| if n == 0 { part } else { part.split_once('m').unwrap().1 })
        .collect();
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(trimmed(&stripped), trimmed(&plain));
}

#[test]
fn terminal_drops_the_least_columns_where_it_is_narrow() {
    let heading = |width| {
        let text = report::terminal(&good_run(), false, width);
        text.lines().nth(1).unwrap().split_whitespace().map(String::from).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(heading(140), "variant verdict what failed ok/s p50 p99 p99.9 errors p99 × buggy audit");
    let narrow = report::terminal(&good_run(), false, 80);
    assert!(!narrow.contains("p50") && !narrow.contains("p99.9"));
    assert!(narrow.contains("\n  buggy: sold 137 of 100 in stock\n"));
    assert_eq!(heading(50), "variant verdict ok/s p99");
    let narrowest = report::terminal(&good_run(), false, 40);
    assert!(narrowest.contains("\n  buggy: failed units-sold\n"), "{narrowest}");
}

#[test]
fn terminal_colours_only_when_asked() {
    for results in [good_run(), odd_run()] {
        assert!(!report::terminal(&results, false, 80).contains('\x1b'));
        let coloured = report::terminal(&results, true, 80);
        assert!(coloured.contains("\x1b[1moversold-stock\x1b[0m"));
        assert_eq!(coloured.contains("\x1b[1;33m"), results.outcome() == Outcome::Invalid);
    }
}

#[test]
fn write_leaves_four_whole_files_and_nothing_else() {
    let folder = folder("write");
    let run = folder.join("runs/one");
    report::write(&odd_run(), &sources, &run).unwrap();
    // A second writing replaces the first.
    let paths = report::write(&good_run(), &sources, &run).unwrap();
    let mut names: Vec<_> = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["junit.xml", "report.html", "results.json", "summary.md"]);
    let back: Results = serde_json::from_str(&fs::read_to_string(&paths.results).unwrap()).unwrap();
    assert!(back.complete);
    assert_eq!(fs::read_to_string(&paths.html).unwrap(), report::html(&good_run(), &sources));
    assert_eq!(fs::read_to_string(&paths.summary).unwrap(), report::markdown(&good_run()));
}

#[test]
fn write_names_the_path_that_it_could_not_write() {
    let folder = folder("unwritable");
    let file = folder.join("file");
    fs::write(&file, "not a folder").unwrap();
    let error = report::write(&good_run(), &sources, &file.join("run")).unwrap_err();
    assert!(error.to_string().contains(&file.join("run").display().to_string()), "{error}");

    // A folder stands where the page should be.
    let run = folder.join("run");
    fs::create_dir_all(run.join("report.html")).unwrap();
    let error = report::write(&good_run(), &sources, &run).unwrap_err();
    assert!(error.to_string().contains("report.html"), "{error}");
    let left: Vec<_> = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[test]
fn latest_points_at_the_last_run() {
    let runs = folder("latest");
    for run in ["one", "two"] {
        let dir = runs.join(run);
        report::write_json(&good_run(), &dir).unwrap();
        let latest = report::point_latest(&runs, &dir).unwrap();
        assert_eq!(fs::read_link(&latest).unwrap(), PathBuf::from(run));
        assert!(latest.join("results.json").is_file());
    }
    // A file from a system without links gives way too.
    fs::remove_file(runs.join("latest")).unwrap();
    fs::write(runs.join("latest"), "one\n").unwrap();
    let latest = report::point_latest(&runs, &runs.join("two")).unwrap();
    assert_eq!(fs::read_link(latest).unwrap(), PathBuf::from("two"));
}
