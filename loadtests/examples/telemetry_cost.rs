//! What the telemetry of the target app costs: `cargo run --release --example telemetry_cost -- [BLOCKS] [SECONDS]`
//!
//! The fixed checkout is driven in a closed loop, by fresh servers on fresh data, with telemetry on, off, off and on again:
//! one block. A machine that gets slower in the course of a block slows both down alike. Printed are, for each block, the
//! throughput with telemetry divided by that without, and the same of the processor time that a checkout cost the server.

use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use loadtests::api::Api;
use loadtests::lab::{Lab, Setting};
use loadtests::load::{Cancel, Mode, Plan, Request, Ticket, Timeline, drive, judge_status};
use loadtests::shop;
use rand::RngExt;
use rand::seq::IteratorRandom;
use reqwest::Url;
use target_app::config::Config;
use target_app::seed::Scale;
use target_app::server::{self, Ready};
use target_app::telemetry::process::cpu_seconds;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// The first argument with which this program is the server.
const SERVER: &str = "server";

/// Clients, each of which waits for its answer before it asks again.
const USERS: usize = 16;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(SERVER) {
        return server::run(Config::parse_from(std::env::args().skip(1)));
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    let blocks = number(6).context("BLOCKS is a whole number")?;
    let seconds = number(4).context("SECONDS is a whole number")?;

    let setting = Setting { scale: Scale::Small, seed: 42, db_rtt: Duration::ZERO };
    let lab = Lab::open(setting, &|text| eprintln!("{text}")).await?;
    let mut throughputs = Vec::new();
    let mut costs = Vec::new();
    for block in 1..=blocks {
        let mut on = Vec::new();
        let mut off = Vec::new();
        for telemetry in ["on", "off", "off", "on"] {
            let round = round(&lab, telemetry, Duration::from_secs(seconds.into())).await?;
            if telemetry == "on" { &mut on } else { &mut off }.push(round);
        }
        let sum = |rounds: &[Round], of: fn(&Round) -> f64| rounds.iter().map(of).sum::<f64>();
        let throughput = sum(&on, |round| round.throughput) / sum(&off, |round| round.throughput);
        let cost = sum(&on, |round| round.cpu_us) / sum(&off, |round| round.cpu_us);
        println!(
            "block {block}: throughput {:.0}/s with, {:.0}/s without, ratio {throughput:.3}; processor time {:.0} µs with, \
             {:.0} µs without, ratio {cost:.3}",
            sum(&on, |round| round.throughput) / 2.0,
            sum(&off, |round| round.throughput) / 2.0,
            sum(&on, |round| round.cpu_us) / 2.0,
            sum(&off, |round| round.cpu_us) / 2.0,
        );
        throughputs.push(throughput);
        costs.push(cost);
    }
    lab.close().await?;
    println!("throughput ratio: {}", spread(throughputs));
    println!("processor time ratio: {}", spread(costs));
    Ok(())
}

/// The median, and the range.
fn spread(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    let median = match ratios.len() {
        0 => return "nothing was measured".into(),
        length if length % 2 == 1 => ratios[middle],
        _ => (ratios[middle - 1] + ratios[middle]) / 2.0,
    };
    format!("median {median:.3}, from {:.3} to {:.3}", ratios[0], ratios[ratios.len() - 1])
}

struct Round {
    /// Checkouts a second.
    throughput: f64,
    /// Processor time of the server for one.
    cpu_us: f64,
}

async fn round(lab: &Lab, telemetry: &str, duration: Duration) -> anyhow::Result<Round> {
    let database = lab.postgres.create_database().await?;
    // Enough for every checkout to be an order.
    let pool = sqlx::PgPool::connect_with(database.connect_options()).await?;
    sqlx::query("UPDATE products SET stock = 1000000").execute(&pool).await?;
    pool.close().await;

    let mut server = Command::new(std::env::current_exe()?)
        .args([SERVER, "--listen", "127.0.0.1:0", "--exit-with-parent", "--nice", "5"])
        .args(["--telemetry", telemetry])
        .env("DATABASE_URL", database.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = server.stdout.take().context("the server has no standard output")?;
    let line = BufReader::new(output).lines().next_line().await?.context("the server did not start")?;
    let ready: Ready = serde_json::from_str(&line)?;
    let url: Url = format!("http://{}", ready.public).parse()?;

    let api = Api::new(vec![url.clone()], Vec::new())?;
    let user = shop::user(&api, shop::HEAVY_USER).await?.id;
    let products = shop::products(&api).await?;
    let mut rng = rand::rng();
    let tickets = (0..1_000).map(|_| {
        let items: Vec<_> = (products.values().sample(&mut rng, 2).into_iter())
            .map(
                |product| serde_json::json!({ "productId": product.id, "quantity": rng.random_range(1..=3) }),
            )
            .collect();
        let cart = serde_json::json!({ "userId": user, "items": items }).to_string();
        Ticket { at: Duration::ZERO, request: Request::post("checkout", "/orders/checkout", cart) }
    });
    let plan = Plan {
        targets: vec![url],
        tickets: tickets.collect(),
        duration,
        warm_up: duration / 4,
        users: USERS,
        timeout: Duration::from_secs(5),
        drain: Duration::from_secs(1),
        mode: Mode::Closed,
        trace_seed: 1,
        meter: None,
        timeline: Timeline::default(),
    };
    let process = server.id().context("the server has ended")?.to_string();
    let cpu = || cpu_seconds(&process).context("the server's processor time is not known here");
    let before = cpu()?;
    let load = drive(plan, Arc::new(judge_status), Cancel::new()).await?;
    let spent = cpu()? - before;
    server.kill().await?;
    database.drop().await?;

    let throughput = load.throughput("checkout");
    anyhow::ensure!(throughput > 0.0, "no checkout succeeded");
    // The warm-up cost as much a second as the rest.
    Ok(Round { throughput, cpu_us: spent * 1e6 / (throughput * duration.as_secs_f64()) })
}
