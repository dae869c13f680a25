//! What Prometheus sees of the loads.
//!
//! Nothing is counted while a request is on its way. The users of a load keep journals in any case, and each scrape reads
//! what is new in them. So a load at which nobody looks pays nothing, and the clock of one at which somebody looks is not
//! disturbed by counting.
//!
//! Counters go on over the rounds of a variant, and include warm-ups and rounds that were repeated: they say what was
//! asked of the servers, which is what a dashboard compares them with. Verdicts are made of
//! [`Load`](super::Load)s instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use loadgen_metrics::{
    CHECK_HELD, IN_FLIGHT, INTENDED, LAG, REQUESTS, RESPONSE, SATURATED, TIMER_LAG, USERS,
};
use target_app::telemetry::MetricSpec;

use super::fate::Fate;
use super::lock;
use crate::results::CheckResult;

/// The metrics of a process that drives loads.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    intended: IntCounterVec,
    requests: IntCounterVec,
    response: HistogramVec,
    lag: HistogramVec,
    timer_lag: HistogramVec,
    in_flight: IntGaugeVec,
    users: IntGaugeVec,
    saturated: IntGaugeVec,
    check_held: IntGaugeVec,
    /// The load that goes on. There is one at a time.
    live: Mutex<Option<Weak<dyn Live>>>,
}

/// A load whose journals can be read.
pub(super) trait Live: std::fmt::Debug + Send + Sync {
    /// Brings the metrics up to date.
    fn read_journals(&self);
}

impl Metrics {
    /// All of [`loadgen_metrics::METRICS`], without any series.
    ///
    /// # Errors
    /// When a declaration is not valid, which no declaration of this module is.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        Ok(Self {
            intended: counter(&registry, &INTENDED)?,
            requests: counter(&registry, &REQUESTS)?,
            response: histogram(&registry, &RESPONSE)?,
            lag: histogram(&registry, &LAG)?,
            timer_lag: histogram(&registry, &TIMER_LAG)?,
            in_flight: gauge(&registry, &IN_FLIGHT)?,
            users: gauge(&registry, &USERS)?,
            saturated: gauge(&registry, &SATURATED)?,
            check_held: gauge(&registry, &CHECK_HELD)?,
            live: Mutex::default(),
            registry,
        })
    }

    /// Everything until now, in Prometheus' text format. It takes the longer the more requests ended since the last time,
    /// so it is no work for a thread that drives users.
    pub fn encode(&self) -> String {
        let live = lock(&self.live).as_ref().and_then(Weak::upgrade);
        if let Some(live) = live {
            live.read_journals();
        }
        // Encoding fails only on families without a name, which registration refuses.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

fn counter(registry: &Registry, spec: &MetricSpec) -> prometheus::Result<IntCounterVec> {
    let vec = IntCounterVec::new(Opts::new(spec.name, spec.help), spec.labels)?;
    registry.register(Box::new(vec.clone()))?;
    Ok(vec)
}

fn gauge(registry: &Registry, spec: &MetricSpec) -> prometheus::Result<IntGaugeVec> {
    let vec = IntGaugeVec::new(Opts::new(spec.name, spec.help), spec.labels)?;
    registry.register(Box::new(vec.clone()))?;
    Ok(vec)
}

fn histogram(registry: &Registry, spec: &MetricSpec) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(spec.name, spec.help).buckets(spec.buckets.to_vec());
    let vec = HistogramVec::new(options, spec.labels)?;
    registry.register(Box::new(vec.clone()))?;
    Ok(vec)
}

/// The metrics of one variant's loads.
#[derive(Debug, Clone)]
pub struct Meter {
    metrics: Arc<Metrics>,
    exercise: &'static str,
    variant: &'static str,
}

impl Meter {
    /// Metrics with the two labels set.
    pub fn new(metrics: Arc<Metrics>, exercise: &'static str, variant: &'static str) -> Self {
        Self { metrics, exercise, variant }
    }

    /// Shows what a round was found to be.
    pub fn checks(&self, checks: &[CheckResult]) {
        for check in checks {
            let labels = [self.exercise, self.variant, &check.name];
            self.metrics.check_held.with_label_values(&labels).set(check.held.into());
        }
    }

    pub(super) fn saturated(&self, saturated: bool) {
        self.metrics.saturated.with_label_values(&self.labels()).set(saturated.into());
    }

    /// Lets scrapes ask this load from now on.
    pub(super) fn follow(&self, load: Weak<dyn Live>) {
        *lock(&self.metrics.live) = Some(load);
    }

    /// Begins to read the journals of a load with these request names.
    ///
    /// Every series begins at zero, because Prometheus sees a rise only in a series that was there before it.
    pub(super) fn reading(&self, users: usize, names: impl Iterator<Item = &'static str>) -> Reading {
        self.metrics.users.with_label_values(&self.labels()).set(users as i64);
        let mut reading = Reading {
            meter: self.clone(),
            entries: vec![0; users],
            intended: 0,
            timer_lag: self.metrics.timer_lag.with_label_values(&self.labels()),
            names: BTreeMap::new(),
        };
        for name in names {
            reading.names.entry(name).or_insert_with(|| OfName::new(self, name)).outcome(self, name, "ok");
        }
        reading
    }

    fn labels(&self) -> [&'static str; 2] {
        [self.exercise, self.variant]
    }
}

/// How far the journals of a load were read, with the series that it has.
#[derive(Debug)]
pub(super) struct Reading {
    meter: Meter,
    /// Entries read of each user's journal.
    pub entries: Vec<usize>,
    /// Requests counted as intended.
    pub intended: usize,
    timer_lag: Histogram,
    names: BTreeMap<&'static str, OfName>,
}

/// The series of one request name.
#[derive(Debug)]
struct OfName {
    intended: IntCounter,
    lag: Histogram,
    in_flight: IntGauge,
    outcomes: BTreeMap<&'static str, (IntCounter, Histogram)>,
}

impl OfName {
    fn new(Meter { metrics, exercise, variant }: &Meter, name: &'static str) -> Self {
        let labels = [*exercise, *variant, name];
        Self {
            intended: metrics.intended.with_label_values(&labels),
            lag: metrics.lag.with_label_values(&labels),
            in_flight: metrics.in_flight.with_label_values(&labels),
            outcomes: BTreeMap::new(),
        }
    }

    fn outcome(
        &mut self,
        Meter { metrics, exercise, variant }: &Meter,
        name: &'static str,
        outcome: &'static str,
    ) -> &(IntCounter, Histogram) {
        self.outcomes.entry(outcome).or_insert_with(|| {
            let labels = [*exercise, *variant, name, outcome];
            (metrics.requests.with_label_values(&labels), metrics.response.with_label_values(&labels))
        })
    }
}

impl Reading {
    fn of(&mut self, name: &'static str) -> &mut OfName {
        self.names.get_mut(name).expect("all names were given at the beginning")
    }

    /// A request became due.
    pub(super) fn due(&mut self, name: &'static str) {
        self.intended += 1;
        self.of(name).intended.inc();
    }

    /// A request came to its end. Those that were cut before they were due were never wanted.
    pub(super) fn ended(&mut self, name: &'static str, fate: &Fate) {
        if !fate.was_due() {
            return;
        }
        if let Some(late) = fate.timer_lag() {
            self.timer_lag.observe(late.as_secs_f64());
        }
        let meter = self.meter.clone();
        let of_name = self.of(name);
        of_name.lag.observe(fate.lag().as_secs_f64());
        let (count, response) = of_name.outcome(&meter, name, fate.outcome());
        count.inc();
        response.observe(fate.response().as_secs_f64());
    }

    /// So many requests of each name are in flight; none of those that are not named.
    pub(super) fn in_flight(&self, counts: &BTreeMap<&'static str, i64>) {
        for (name, series) in &self.names {
            series.in_flight.set(counts.get(name).copied().unwrap_or(0));
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Whatever ended the load, nothing is in flight after it.
        self.in_flight(&BTreeMap::new());
    }
}
