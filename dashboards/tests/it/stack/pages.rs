//! The queries on the pages about observing: a reader pastes them, so they have to work.

use std::collections::BTreeSet;

use promql_parser::parser::{self, Expr};
use promql_parser::util::{ExprVisitor, walk_expr};
use target_app::exercises::all_metrics;

use super::read;

const PAGES: [&str; 2] = ["docs/observability.md", "docs/runbooks/README.md"];

/// What the pages ask for and others export: Prometheus itself, and postgres_exporter.
const FOREIGN: [&str; 4] =
    ["ALERTS", "up", "pg_stat_statements_calls_total", "pg_stat_statements_seconds_total"];

/// The queries of a page: its code blocks of the language `promql`, in lists too.
fn queries(page: &str) -> Vec<String> {
    let blocks = page.split("```promql\n").skip(1);
    let query = blocks.map(|block| block.split("```").next().unwrap_or_default());
    query.map(|query| query.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()).collect()
}

/// Names of the metrics in a query.
fn metrics(expr: &Expr) -> BTreeSet<String> {
    #[derive(Default)]
    struct Names(BTreeSet<String>);
    impl ExprVisitor for Names {
        type Error = std::convert::Infallible;

        fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
            let selector = match expr {
                Expr::VectorSelector(selector) => selector,
                Expr::MatrixSelector(range) => &range.vs,
                _ => return Ok(true),
            };
            self.0.extend(selector.name.clone());
            Ok(true)
        }
    }
    let mut names = Names::default();
    let Ok(_) = walk_expr(&mut names, expr);
    names.0
}

#[test]
fn every_query_on_the_pages_parses_and_asks_for_what_is_exported() {
    let app = all_metrics().map(|metric| metric.name);
    let exported: BTreeSet<&str> =
        app.chain(loadgen_metrics::METRICS.iter().map(|metric| metric.name)).collect();
    let rules = dashboards::generate();
    let recorded = rules.get("dashboards/prometheus/rules/recording.yml").expect("recording rules");
    for page in PAGES {
        let queries = queries(&read(page));
        assert!(!queries.is_empty(), "{page} has queries");
        for query in queries {
            let expr = parser::parse(&query).unwrap_or_else(|error| panic!("{page}: {query}: {error}"));
            for name in metrics(&expr) {
                // A histogram is three series.
                let declared =
                    ["_bucket", "_sum", "_count"].into_iter().find_map(|part| name.strip_suffix(part));
                let known = exported.contains(name.as_str())
                    || declared.is_some_and(|declared| exported.contains(declared))
                    || FOREIGN.contains(&name.as_str())
                    || recorded
                        .lines()
                        .any(|line| line.trim_start_matches(['-', ' ']) == format!("record: {name}"));
                assert!(known, "{page}: nobody exports {name}: {query}");
            }
        }
    }
}

#[test]
fn links_between_the_pages_lead_to_headings_that_exist() {
    let runbooks = read("docs/runbooks/README.md");
    let headings: BTreeSet<String> =
        runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    for page in PAGES {
        let text = read(page);
        let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let anchors = linked.filter_map(|link| {
            let (path, anchor) = link.split_once('#')?;
            let to_runbooks =
                path.ends_with("runbooks/README.md") || (path.is_empty() && page.contains("runbooks"));
            to_runbooks.then(|| anchor.to_owned())
        });
        for anchor in anchors {
            assert!(headings.contains(&anchor), "{page} links to #{anchor}");
        }
    }
}
