//! `frozen-health`: the health check is asked alone, then beside more reports than the machine can render.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use rand_pcg::Pcg64;
use target_app::catalogue::Exercise;
use target_app::exercises::frozen_health::EXERCISE;

use super::{Audit, Findings, Shape, WARM_UP, allowance, check, ms, signal};
use crate::api::{Api, HEAVY_USER, Order};
use crate::load::{Answer, Load, Outcome, Request, Ticket, arrivals, status_reason};

/// Health checks a second.
const HEALTH_RATE: f64 = 200.0;
/// How long the health check is asked alone, after the warm-up.
const IDLE: Duration = Duration::from_millis(700);
/// Reports offered, as a multiple of what all processors together could render.
const OVERLOAD: f64 = 3.0;
/// Reports a second offered for each processor at most: a server that renders a report in less than 30 ms, or remembers it,
/// need not refuse any.
const MOST_PER_PROCESSOR: f64 = 100.0;
/// A p99 within this is quick, whatever the idle one was: a health check times out after seconds.
const QUICK_US: u64 = 10_000;

pub struct Scenario;

impl super::Scenario for Scenario {
    fn exercise(&self) -> &'static Exercise {
        &EXERCISE
    }

    fn headline(&self) -> &'static str {
        "health"
    }

    fn needs_schedule(&self) -> bool {
        // The health check is asked alone first.
        true
    }

    fn shape(&self) -> Shape {
        Shape { rate: None, duration: Duration::from_millis(2_800), replicas: 1 }
    }

    fn total_rate(&self, rate: Option<f64>) -> f64 {
        HEALTH_RATE + rate.unwrap_or(processors() * MOST_PER_PROCESSOR)
    }

    fn needs(&self) -> &'static [(&'static str, u64)] {
        &[("health-idle", 50), ("health", 100), ("report", 10)]
    }

    fn limits(&self) -> &'static [Duration] {
        const { &[Duration::from_micros(QUICK_US)] }
    }

    fn prepare<'a>(
        &'a self,
        api: &'a Api,
        shape: &'a Shape,
        mut rng: Pcg64,
    ) -> BoxFuture<'a, anyhow::Result<Box<dyn super::Round>>> {
        async move {
            let user = api.user(HEAVY_USER).await?.id;
            let path = format!("/reports/orders/{user}");
            let orders = api.orders(user).await?;
            let reference = api.bytes(&path, None).await?;
            let flaw = flaw(reference.clone(), orders).await;
            let rate = match shape.rate {
                Some(rate) => rate,
                None => overload(api, &path).await?,
            };

            let reports_from = WARM_UP + IDLE;
            let mut tickets = Vec::new();
            for at in arrivals::constant(HEALTH_RATE, shape.duration) {
                let name = if at < reports_from { "health-idle" } else { "health" };
                tickets.push(Ticket { at, request: Request::get(name, "/health") });
            }
            let loaded = shape.duration.saturating_sub(reports_from);
            for at in arrivals::poisson(&mut rng, rate, loaded) {
                tickets.push(Ticket { at: reports_from + at, request: Request::get("report", path.clone()) });
            }
            Ok(Box::new(Round { tickets, rate, reference, flaw }) as Box<dyn super::Round>)
        }
        .boxed()
    }

    fn objectives(&self, load: &Load) -> Findings {
        let idle = load.response("health-idle").value_at_quantile(0.99);
        let busy = load.response("health").value_at_quantile(0.99);
        let quick = (2 * idle).max(QUICK_US);
        let limit = quick + allowance(load);
        let delivered = load.count("report", "ok");
        let refused = load.count("report", "busy");
        let offered = load.response("report").len();
        let unclean = offered - delivered - refused;
        let health = ["health-idle", "health"];
        let asked: u64 = health.iter().map(|name| load.response(name).len()).sum();
        let unhealthy = asked - health.iter().map(|name| load.count(name, "ok")).sum::<u64>();
        Findings {
            checks: vec![
                check(
                    &EXERCISE,
                    "health-p99",
                    busy <= limit && unhealthy == 0,
                    format!(
                        "each 200, and p99 at most {} (idle: {}; for late wake-ups: {})",
                        ms(limit),
                        ms(idle),
                        ms(allowance(load))
                    ),
                    match unhealthy {
                        0 => format!("p99 {}", ms(busy)),
                        some => format!("p99 {}, and {some} of {asked} not 200", ms(busy)),
                    },
                ),
                check(
                    &EXERCISE,
                    "reports-delivered",
                    delivered * 16 >= offered,
                    format!("at least a sixteenth of {offered} reports"),
                    format!("{delivered} delivered"),
                ),
                check(
                    &EXERCISE,
                    "only-clean-refusals",
                    unclean == 0,
                    "every report ends in 200 or in 503 with Retry-After",
                    format!("{unclean} of {offered} failed or were still waiting"),
                ),
            ],
            signals: vec![
                signal("health p99 during reports", busy as f64 / 1000.0, "ms", Some(quick as f64 / 1000.0)),
                signal("reports delivered", delivered as f64, "reports", None),
            ],
        }
    }
}

/// Reports a second that are more than the processors could render, measured once for all rounds of this process.
async fn overload(api: &Api, path: &str) -> anyhow::Result<f64> {
    static RATE: OnceLock<f64> = OnceLock::new();
    if let Some(rate) = RATE.get() {
        return Ok(*rate);
    }
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        api.bytes(path, None).await?;
        quickest = quickest.min(start.elapsed());
    }
    Ok(*RATE.get_or_init(|| processors() * (OVERLOAD / quickest.as_secs_f64()).min(MOST_PER_PROCESSOR)))
}

fn processors() -> f64 {
    std::thread::available_parallelism().map_or(2, usize::from) as f64
}

/// What keeps the document from being a report of these orders.
async fn flaw(document: Vec<u8>, orders: Vec<Order>) -> Option<String> {
    // In a task of its own, because it reads what a stranger wrote, and a parser may panic.
    let found = tokio::task::spawn_blocking(move || missing(&document, &orders)).await;
    match found {
        Ok(Ok(0)) => None,
        Ok(Ok(missing)) => Some(format!("{missing} orders are not in it")),
        Ok(Err(_)) | Err(_) => Some("not a PDF with readable text".into()),
    }
}

/// How many of the orders a PDF's text does not name.
fn missing(document: &[u8], orders: &[Order]) -> lopdf::Result<usize> {
    let document = lopdf::Document::load_mem(document)?;
    let mut text = document.extract_text(&document.get_pages().into_keys().collect::<Vec<_>>())?;
    // An id may be broken over two lines.
    text.retain(|character| !character.is_whitespace());
    Ok(orders.iter().filter(|order| !text.contains(&order.id.to_string())).count())
}

struct Round {
    tickets: Vec<Ticket>,
    rate: f64,
    reference: Vec<u8>,
    /// Why the reference itself is no report.
    flaw: Option<String>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        format!(
            "{HEALTH_RATE:.0} health checks a second; after {} ms alone, beside Poisson arrivals of {:.0} reports a second over {servers}, \
             {OVERLOAD:.0} times what the processors can render unless that is very quick",
            IDLE.as_millis(),
            self.rate,
        )
    }

    fn tickets(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.tickets)
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        match (request.name, answer.status) {
            ("report", 200) if answer.body[..] != self.reference[..] => Outcome::Failed("altered-report"),
            (_, 200) => Outcome::Ok,
            ("report", 503) if answer.headers.contains_key("retry-after") => Outcome::Expected("busy"),
            (_, status) => Outcome::Failed(status_reason(status)),
        }
    }

    fn audit<'a>(&'a self, _: &'a Api, load: &'a Load) -> BoxFuture<'a, anyhow::Result<Audit>> {
        let altered = load.count("report", "altered-report");
        let delivered = load.count("report", "ok");
        let refused = load.count("report", "busy");
        let offered = load.response("report").len();
        let checks = vec![check(
            &EXERCISE,
            "reports-identical",
            altered == 0 && self.flaw.is_none(),
            format!("a PDF that names each order, the same {} bytes each time", self.reference.len()),
            self.flaw.clone().unwrap_or_else(|| format!("{altered} of {} differ", delivered + altered)),
        )];
        let sentence = format!("of {offered} reports {delivered} delivered, {refused} refused in time");
        async move { Ok(Audit { sentence, findings: Findings { checks, signals: Vec::new() } }) }.boxed()
    }
}
