//! The metrics of a server, made from their declarations.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry, TextEncoder,
};

use super::spec::{self, MetricKind, MetricSpec};

/// What the server counts and times.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: HashMap<&'static str, Family>,
}

#[derive(Debug)]
enum Family {
    Counter(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
}

impl Family {
    fn register(spec: &MetricSpec, registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new(spec.name, spec.help);
        Ok(match spec.kind {
            MetricKind::Counter => {
                let family = CounterVec::new(options, spec.labels)?;
                registry.register(Box::new(family.clone()))?;
                Family::Counter(family)
            }
            MetricKind::Gauge => {
                let family = GaugeVec::new(options, spec.labels)?;
                registry.register(Box::new(family.clone()))?;
                Family::Gauge(family)
            }
            MetricKind::Histogram => {
                let options = HistogramOpts::from(options).buckets(spec.buckets.to_vec());
                let family = HistogramVec::new(options, spec.labels)?;
                registry.register(Box::new(family.clone()))?;
                Family::Histogram(family)
            }
        })
    }
}

impl Metrics {
    /// These metrics at zero, as far as their labels are known.
    pub fn new(specs: impl Iterator<Item = &'static MetricSpec> + Clone) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let families = (specs.clone())
            .map(|spec| Ok((spec.name, Family::register(spec, &registry)?)))
            .collect::<prometheus::Result<_>>()?;
        let metrics = Metrics { registry, families };
        for spec in specs.filter(|spec| spec.labels.is_empty()) {
            match spec.kind {
                MetricKind::Counter => drop(metrics.counter(spec, &[])),
                MetricKind::Histogram => drop(metrics.histogram(spec, &[])),
                // Zero would be an answer that nobody has given yet.
                MetricKind::Gauge => {}
            }
        }
        Ok(metrics)
    }

    /// The counter with these label values. Panics when `spec` declares none of this kind or other labels.
    pub fn counter(&self, spec: &MetricSpec, labels: &[&str]) -> Counter {
        match &self.families[spec.name] {
            Family::Counter(family) => family.with_label_values(labels),
            _ => panic!("{} is not declared as a counter", spec.name),
        }
    }

    /// The gauge with these label values. Panics when `spec` declares none of this kind or other labels.
    pub fn gauge(&self, spec: &MetricSpec, labels: &[&str]) -> Gauge {
        match &self.families[spec.name] {
            Family::Gauge(family) => family.with_label_values(labels),
            _ => panic!("{} is not declared as a gauge", spec.name),
        }
    }

    /// The histogram with these label values. Panics when `spec` declares none of this kind or other labels.
    pub fn histogram(&self, spec: &MetricSpec, labels: &[&str]) -> Histogram {
        match &self.families[spec.name] {
            Family::Histogram(family) => family.with_label_values(labels),
            _ => panic!("{} is not declared as a histogram", spec.name),
        }
    }

    /// Counts a request as active until the answer is dropped.
    pub fn active(&self, method: &str) -> Active {
        let gauge = self.gauge(&spec::ACTIVE_REQUESTS, &[method]);
        gauge.inc();
        Active(gauge)
    }

    /// Records a request that was answered or given up.
    pub fn request(&self, method: &str, route: &str, status: u16, duration: Duration) {
        self.histogram(&spec::REQUEST_DURATION, &[method, route, &status.to_string()])
            .observe(duration.as_secs_f64());
    }

    /// Records how many statements a request took.
    pub fn statements(&self, route: &str, statements: u64) {
        self.histogram(&spec::STATEMENTS_PER_REQUEST, &[route]).observe(statements as f64);
    }

    /// Everything in Prometheus' text format.
    pub fn encode(&self) -> String {
        // Encoding fails only on families without a name, which registration refuses.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// A request that is being answered.
pub struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}
