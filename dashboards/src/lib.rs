//! Grafana dashboards, Prometheus rules with their tests, and Alertmanager routes, all made from the catalogue.
//!
//! [`generate`] makes every file in memory; [`files`] writes them, or says which of those on disk are stale. An expression
//! is written once, with `$scope` and `$window` left open ([`promql`]); a dashboard ([`grafana`]) and a rule
//! ([`prometheus`]) each put in their own. What is promised, and how fast a promise may be used up, is in [`objectives`].

pub mod files;
pub mod grafana;
pub mod metrics;
pub mod objectives;
pub mod prometheus;
pub mod promql;

use files::Files;

/// Where an exercise's page and the runbooks are, from the root of the project.
///
/// A path and no address: nobody can know where a copy of the project is published.
pub const DOCS: &str = "docs";

/// Every generated file.
pub fn generate() -> Files {
    let mut files = Files::default();
    for dashboard in grafana::dashboards() {
        files.add(format!("dashboards/grafana/{}.json", dashboard.uid), dashboard.json());
    }
    files.extend(grafana::provisioning());
    files.extend(prometheus::files());
    files.add("docs/metrics.md", metrics::page());
    files
}
