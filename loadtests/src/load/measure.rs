//! What became of the tickets, as histograms and counts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::cpu::Cpu;
use super::fate::{Class, Fate};
use super::plan::Mode;
use super::saturation::Saturation;
use super::timeline::Incident;
use crate::results::{LatencyStats, RequestStats, Second, SlowRequest, Tickets};

/// The histograms' bounds in microseconds: no response takes longer than the longest load with its drain, 1 h and a bit.
const BOUNDS_US: (u64, u64) = (1, 2 * 3_600_000_000);
const SIGNIFICANT_DIGITS: u8 = 3;

/// Slowest requests that are kept of each request name.
pub const SLOWEST: usize = 5;

/// Latencies of one request name and outcome, in microseconds.
#[derive(Debug, Clone)]
pub struct Latencies {
    /// The outcome's kind.
    pub class: Class,
    /// Done minus the intended start.
    pub response: Histogram<u64>,
    /// Done minus sent.
    pub service: Histogram<u64>,
    /// Sent minus the intended start.
    pub lag: Histogram<u64>,
}

/// What a load measured. Loads of several rounds, or of several generators, merge without loss.
#[derive(Debug, Clone)]
pub struct Load {
    /// Open or closed.
    pub mode: Mode,
    /// Time from the end of the warm-up to the end of the schedule; the sum of all, in a merged load.
    pub measured: Duration,
    /// Tickets due after the warm-up: these are in the latencies.
    pub tickets: Tickets,
    /// Tickets due in the warm-up.
    pub warm_up: Tickets,
    /// By request name and outcome: `ok`, the judge's word, `timeout`, `in-flight` or `never-sent`.
    pub latencies: BTreeMap<(&'static str, &'static str), Latencies>,
    /// How late a waiting user was woken, in microseconds: the generator's own fault.
    pub timer_lag: Histogram<u64>,
    /// How long tickets waited for a free user, in microseconds. Tickets that found one at once are not in it.
    pub queued: Histogram<u64>,
    /// One-second series of the first load merged, warm-up included. Latency is by the second in which the request was
    /// *intended* to start, counts by the second in which it *completed*.
    pub series: Vec<Second>,
    /// What went wrong on purpose, in the first load merged.
    pub incidents: Vec<Incident>,
    /// The slowest requests that were sent, at most [`SLOWEST`] of each request name, the slowest first.
    pub slowest: Vec<SlowRequest>,
    /// What the generator had of the processors, warm-up included; none where the system does not tell.
    pub cpu: Option<Cpu>,
    /// Set when the generator, not the server, shaped the numbers.
    pub saturation: Option<Saturation>,
}

impl Load {
    /// Records what became of all requests; `name` gives the name of a request by its number, `trace_id` that of its
    /// trace.
    pub fn new(
        mode: Mode,
        warm_up: Duration,
        duration: Duration,
        fates: &[Fate],
        name: impl Fn(usize) -> &'static str,
        trace_id: impl Fn(usize) -> u128,
    ) -> Self {
        let mut load = Self {
            mode,
            measured: duration.saturating_sub(warm_up),
            tickets: Tickets::default(),
            warm_up: Tickets::default(),
            latencies: BTreeMap::new(),
            timer_lag: histogram(),
            queued: histogram(),
            series: series(fates, &name),
            incidents: Vec::new(),
            slowest: slowest(fates.iter().filter(|fate| fate.at >= warm_up), &name, trace_id),
            cpu: None,
            saturation: None,
        };
        for fate in fates {
            let tickets = if fate.at < warm_up { &mut load.warm_up } else { &mut load.tickets };
            tickets.scheduled += 1;
            *fate.class().count(tickets) += 1;
            if fate.at >= warm_up {
                load.record(name(fate.number), fate);
            }
        }
        load
    }

    fn record(&mut self, name: &'static str, fate: &Fate) {
        let record =
            |histogram: &mut Histogram<u64>, time: Duration| histogram.saturating_record(micros(time));
        let latencies = self.latencies.entry((name, fate.outcome())).or_insert_with(|| Latencies {
            class: fate.class(),
            response: histogram(),
            service: histogram(),
            lag: histogram(),
        });
        record(&mut latencies.response, fate.response());
        if let Some(service) = fate.service() {
            record(&mut latencies.service, service);
        }
        record(&mut latencies.lag, fate.lag());
        if let Some(late) = fate.timer_lag() {
            record(&mut self.timer_lag, late);
        }
        if !fate.queued().is_zero() {
            record(&mut self.queued, fate.queued());
        }
    }

    /// Adds another load of the same mode. The series stays that of the first, and the worse saturation of the two.
    pub fn merge(&mut self, other: &Load) {
        self.measured += other.measured;
        add_tickets(&mut self.tickets, &other.tickets);
        add_tickets(&mut self.warm_up, &other.warm_up);
        for (key, theirs) in &other.latencies {
            match self.latencies.get_mut(key) {
                Some(ours) => {
                    add(&mut ours.response, &theirs.response);
                    add(&mut ours.service, &theirs.service);
                    add(&mut ours.lag, &theirs.lag);
                }
                None => {
                    self.latencies.insert(*key, theirs.clone());
                }
            }
        }
        add(&mut self.timer_lag, &other.timer_lag);
        add(&mut self.queued, &other.queued);
        self.slowest.extend_from_slice(&other.slowest);
        keep_slowest(&mut self.slowest);
        if let (Some(ours), Some(theirs)) = (&mut self.cpu, other.cpu) {
            ours.add(theirs);
        }
        let rank = |load: &Load| load.saturation.as_ref().map(|saturation| !saturation.slight);
        if rank(other) > rank(self) {
            self.saturation.clone_from(&other.saturation);
        }
    }

    /// Response times of a request name, whatever became of it, in microseconds: no failure makes these look better.
    pub fn response(&self, name: &str) -> Histogram<u64> {
        self.all(name, |latencies| &latencies.response)
    }

    /// Service times of a request name, whatever became of it, in microseconds. What was never sent has none.
    pub fn service(&self, name: &str) -> Histogram<u64> {
        self.all(name, |latencies| &latencies.service)
    }

    fn all(&self, name: &str, which: fn(&Latencies) -> &Histogram<u64>) -> Histogram<u64> {
        let mut all = histogram();
        for (_, latencies) in self.latencies.iter().filter(|((n, _), _)| *n == name) {
            add(&mut all, which(latencies));
        }
        all
    }

    /// How many tickets with a request name were sent.
    pub fn sent(&self, name: &str) -> u64 {
        self.service(name).len()
    }

    /// How many tickets with a request name had an outcome.
    pub fn count(&self, name: &str, outcome: &str) -> u64 {
        self.latencies
            .iter()
            .filter(|((n, o), _)| *n == name && *o == outcome)
            .map(|(_, l)| l.response.len())
            .sum()
    }

    /// Successes of a request name a second, over the time measured.
    pub fn throughput(&self, name: &str) -> f64 {
        self.count(name, Class::Ok.word()) as f64 / self.measured.as_secs_f64()
    }

    /// One row for each name and outcome, sorted by both.
    pub fn request_stats(&self) -> Vec<RequestStats> {
        self.latencies
            .iter()
            .map(|((name, outcome), latencies)| RequestStats {
                name: (*name).to_owned(),
                outcome: (*outcome).to_owned(),
                failed: latencies.class.failed(),
                count: latencies.response.len(),
                response: latency_stats(&latencies.response),
                service: latency_stats(&latencies.service),
                lag: latency_stats(&latencies.lag),
            })
            .collect()
    }
}

/// The percentiles of a histogram of microseconds; all zero when it is empty.
pub fn latency_stats(histogram: &Histogram<u64>) -> LatencyStats {
    const CURVE: [f64; 17] = [
        0.0, 10.0, 25.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0,
    ];
    if histogram.is_empty() {
        return LatencyStats::default();
    }
    let at = |percentile| histogram.value_at_percentile(percentile);
    LatencyStats {
        p50_us: at(50.0),
        p90_us: at(90.0),
        p99_us: at(99.0),
        p999_us: at(99.9),
        max_us: histogram.max(),
        curve: CURVE.iter().map(|percentile| (*percentile, at(*percentile))).collect(),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(BOUNDS_US.0, BOUNDS_US.1, SIGNIFICANT_DIGITS).expect("the bounds are valid")
}

fn add(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.add(from).expect("all histograms have the same bounds");
}

fn add_tickets(to: &mut Tickets, from: &Tickets) {
    to.scheduled += from.scheduled;
    to.ok += from.ok;
    to.failed += from.failed;
    to.timed_out += from.timed_out;
    to.in_flight += from.in_flight;
    to.never_sent += from.never_sent;
}

fn series(fates: &[Fate], name: impl Fn(usize) -> &'static str) -> Vec<Second> {
    let seconds = fates.iter().map(|fate| fate.at.max(fate.done).as_secs() + 1).max().unwrap_or(0);
    let mut series: Vec<Second> =
        (0..seconds).map(|second| Second { second: second as u32, ..Second::default() }).collect();
    let mut responses: BTreeMap<(u64, &'static str), Vec<u64>> = BTreeMap::new();
    for fate in fates {
        let name = name(fate.number);
        responses.entry((fate.at.as_secs(), name)).or_default().push(micros(fate.response()));
        let second = &mut series[fate.done.as_secs() as usize];
        let counts = if fate.class().failed() { &mut second.failed } else { &mut second.completed };
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                counts.insert(name.to_owned(), 1);
            }
        }
    }
    for ((second, name), mut responses) in responses {
        let rank = (responses.len() * 99).div_ceil(100) - 1;
        let (_, p99, _) = responses.select_nth_unstable(rank);
        series[second as usize].p99_us.insert(name.to_owned(), *p99);
    }
    series
}

/// Of each name, the slowest fates that were sent: the others left no trace on the server.
fn slowest<'a>(
    fates: impl Iterator<Item = &'a Fate>,
    name: impl Fn(usize) -> &'static str,
    trace_id: impl Fn(usize) -> u128,
) -> Vec<SlowRequest> {
    let mut by_name: BTreeMap<&'static str, Vec<&Fate>> = BTreeMap::new();
    for fate in fates.filter(|fate| fate.sent.is_some()) {
        by_name.entry(name(fate.number)).or_default().push(fate);
    }
    let mut slowest = Vec::new();
    for (name, mut fates) in by_name {
        fates.sort_by_key(|fate| Reverse(fate.response()));
        slowest.extend(fates.into_iter().take(SLOWEST).map(|fate| SlowRequest {
            request: name.to_owned(),
            outcome: fate.outcome().to_owned(),
            response_us: micros(fate.response()),
            service_us: micros(fate.service().unwrap_or_default()),
            lag_us: micros(fate.lag()),
            trace_id: format!("{:032x}", trace_id(fate.number)),
            at_s: fate.at.as_secs_f64(),
        }));
    }
    keep_slowest(&mut slowest);
    slowest
}

/// Sorts them and drops those that are too many of their name.
fn keep_slowest(requests: &mut Vec<SlowRequest>) {
    requests.sort_by_key(|request| Reverse(request.response_us));
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    requests.retain(|request| {
        let kept = kept.entry(request.request.clone()).or_default();
        *kept += 1;
        *kept <= SLOWEST
    });
}
