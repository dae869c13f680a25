//! Grafana dashboards, Prometheus rules with their tests, and Alertmanager routes, all made from the catalogue.
//!
//! [`generate`] makes every file in memory; [`files`] writes them, or says which of those on disk are stale. An expression
//! is written once, with `$scope` and `$window` left open ([`promql`]); a dashboard ([`grafana`]) and a rule
//! ([`prometheus`]) each put in their own. What is promised, and how fast a promise may be used up, is in [`objectives`].

pub mod docs;
pub mod figures;
pub mod files;
pub mod grafana;
pub mod metrics;
pub mod objectives;
pub mod pages;
pub mod prometheus;
pub mod promql;

use docs::Docs;
use files::Files;

/// Every generated file, as it is committed.
pub fn generate() -> Files {
    generate_with(&Docs::default())
}

/// Every generated file, with links to the pages in `docs`.
pub fn generate_with(docs: &Docs) -> Files {
    let mut files = Files::default();
    for dashboard in grafana::dashboards(docs) {
        files.add(format!("dashboards/grafana/{}.json", dashboard.uid), dashboard.json());
    }
    files.extend(grafana::provisioning());
    files.extend(prometheus::files(docs));
    files.add("docs/metrics.md", metrics::page());
    pages::add(&mut files);
    files
}
