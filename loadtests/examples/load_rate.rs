//! Offers rising rates to a server's `/health` and prints what the generator makes of each.
//!
//! `cargo run --release -p loadtests --example load_rate -- http://127.0.0.1:8099 5000 10000 20000`
//!
//! With `SCRAPED` set, its metrics are read ten times a second meanwhile, as no Prometheus does.
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadtests::load::metrics::{Meter, Metrics};
use loadtests::load::{Cancel, Mode, Plan, Request, Ticket, Timeline, arrivals, drive, judge_status};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url: reqwest::Url = arguments.next().ok_or("the server's URL is missing")?.parse()?;
    let users = std::env::var("USERS").ok().and_then(|users| users.parse().ok()).unwrap_or(200);
    let rates: Vec<f64> = arguments.map(|rate| rate.parse()).collect::<Result<_, _>>()?;
    let metrics = std::env::var_os("SCRAPED").map(|_| Metrics::new().map(Arc::new)).transpose()?;
    if let Some(metrics) = metrics.clone() {
        std::thread::spawn(move || {
            loop {
                std::hint::black_box(metrics.encode());
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    }
    let duration = Duration::from_secs(3);
    let meter = metrics.map(|metrics| Meter::new(metrics, "load-rate", "none"));
    // A rate of 0 stands for the closed loop.
    for rate in rates {
        let mode = if rate == 0.0 { Mode::Closed } else { Mode::Open };
        let times = match mode {
            Mode::Open => arrivals::poisson(&mut arrivals::seeded(1), rate, duration),
            Mode::Closed => vec![Duration::ZERO],
        };
        let tickets =
            times.into_iter().map(|at| Ticket { at, request: Request::get("health", "/health") }).collect();
        let plan = Plan {
            targets: vec![url.clone()],
            tickets,
            duration,
            warm_up: Duration::from_millis(500),
            users,
            timeout: Duration::from_secs(5),
            drain: Duration::from_secs(1),
            mode,
            trace_seed: 1,
            meter: meter.clone(),
            timeline: Timeline::default(),
        };
        let began = Instant::now();
        let load = drive(plan, Arc::new(judge_status), Cancel::new()).await?;
        let overhead = began.elapsed().saturating_sub(duration);
        let response = load.response("health");
        println!(
            "{mode} {rate}/s: {:.0}/s ok, {:?}\n  response p50 {} p99 {} max {} µs; timer lag p50 {} p99 {} max {} µs; queued {}; overhead {overhead:?}\n  {:?}\n  {}",
            load.throughput("health"),
            load.tickets,
            response.value_at_quantile(0.5),
            response.value_at_quantile(0.99),
            response.max(),
            load.timer_lag.value_at_quantile(0.5),
            load.timer_lag.value_at_quantile(0.99),
            load.timer_lag.max(),
            load.queued.len(),
            load.cpu,
            load.saturation.map_or_else(|| "valid".to_owned(), |saturation| saturation.to_string()),
        );
    }
    Ok(())
}
