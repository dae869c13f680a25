//! The metrics, each declared once.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{
    HistogramOpts, HistogramVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    register_histogram_vec_with_registry, register_int_gauge_vec_with_registry,
};

use crate::catalogue::Variants;

/// What the server counts and times.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    request_duration: HistogramVec,
    active_requests: IntGaugeVec,
    statements_per_request: HistogramVec,
}

impl Metrics {
    /// All metrics at zero, and one series that says which run and which variants this is.
    pub fn new(run_id: &str, variants: &Variants) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let run_info = register_int_gauge_vec_with_registry!(
            Opts::new("stampede_run_info", "1 for each exercise's variant that this server runs"),
            &["exercise", "variant", "run_id", "version"],
            registry
        )?;
        for (exercise, variant) in variants.entries() {
            run_info.with_label_values(&[exercise, variant.name, run_id, env!("CARGO_PKG_VERSION")]).set(1);
        }
        let request_duration = register_histogram_vec_with_registry!(
            HistogramOpts::new(
                "http_server_request_duration_seconds",
                "Time from a request's head to its answer's"
            )
            .buckets(vec![
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
                7.5, 10.0,
            ]),
            &["http_request_method", "http_route", "http_response_status_code"],
            registry
        )?;
        let active_requests = register_int_gauge_vec_with_registry!(
            Opts::new("http_server_active_requests", "Requests that are being answered"),
            &["http_request_method"],
            registry
        )?;
        let statements_per_request = register_histogram_vec_with_registry!(
            HistogramOpts::new("stampede_db_queries_per_request", "SQL statements that one request took")
                .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
            &["http_route"],
            registry
        )?;
        Ok(Metrics { registry, request_duration, active_requests, statements_per_request })
    }

    /// Counts a request as active until the answer is dropped.
    pub fn active(&self, method: &str) -> Active {
        let gauge = self.active_requests.with_label_values(&[method]);
        gauge.inc();
        Active(gauge)
    }

    /// Records a request that was answered.
    pub fn request(&self, method: &str, route: &str, status: StatusCode, duration: Duration) {
        self.request_duration
            .with_label_values(&[method, route, status.as_str()])
            .observe(duration.as_secs_f64());
    }

    /// Records how many statements a request took.
    pub fn statements(&self, route: &str, statements: u64) {
        self.statements_per_request.with_label_values(&[route]).observe(statements as f64);
    }

    /// Everything in Prometheus' text format.
    pub fn encode(&self) -> String {
        // Encoding fails only on families without a name, which registration refuses.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// A request that is being answered.
pub struct Active(IntGauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}
