//! The reference server: what the machine does to a request that has nothing to do with what is judged.
//!
//! A limit in milliseconds means nothing on a machine that is busy with something else. So beside the servers under test
//! there is one that does next to nothing, asked in the same schedule: what it takes, nobody could have been quicker than.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use rand_pcg::Pcg64;
use reqwest::Url;
use scratch_postgres::Database;
use serde::Deserialize;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use target_app::domain::money::Cents;
use target_app::domain::orders::{Order, OrderItem};
use target_app::domain::report::{OrderHistory, ReportWriter};
use target_app::domain::users::User;
use target_app::server::Ready;
use uuid::Uuid;

use crate::lab::{Lab, Process, run_child, this_program};
use crate::load::{Request, Ticket, arrivals};

/// The hidden subcommand under which this program is the reference server.
pub const SUBCOMMAND: &str = "reference-server";

/// Name of its requests.
pub const REFERENCE: &str = "reference";

/// Requests to it a second: enough for a 99th percentile, and no load.
const RATE: f64 = 100.0;

/// How it is run: as a process of its own, like the servers under test and with their priority.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Address to listen on
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    listen: SocketAddr,
    /// Leaves the processors to others first, as `nice` does
    #[arg(long, default_value_t = 0)]
    nice: i32,
    /// PostgreSQL to ask; without one it asks nothing
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// A reference server that runs.
pub struct Reference {
    process: Process,
    database: Option<Database>,
}

impl Reference {
    /// Starts one, on a database of its own where there is a lab.
    pub async fn start(lab: Option<&Lab>) -> anyhow::Result<Self> {
        let database = match lab {
            Some(lab) => Some(lab.postgres.create_database().await?),
            None => None,
        };
        let program = lab.map_or_else(this_program, |lab| Ok(lab.program.clone()))?;
        let mut command = Process::command(&program, SUBCOMMAND);
        match &database {
            Some(database) => command.env("DATABASE_URL", database.url()),
            None => command.env_remove("DATABASE_URL"),
        };
        let process =
            Process::start(&mut command, None).await.context("the reference server did not start")?;
        Ok(Reference { process, database })
    }

    /// Its base URL.
    pub fn url(&self) -> anyhow::Result<Url> {
        Url::parse(&format!("http://{}", self.process.ready.public)).context("an address is a URL's host")
    }

    /// Ends it, and drops its database.
    pub async fn end(self) -> anyhow::Result<()> {
        drop(self.process);
        match self.database {
            Some(database) => Ok(database.drop().await?),
            None => Ok(()),
        }
    }
}

/// The requests of a round, to the target with this number.
pub fn tickets(rng: &mut Pcg64, target: usize, statements: u32, duration: Duration) -> Vec<Ticket> {
    let path = format!("/?statements={statements}");
    let request = Request { target, ..Request::get(REFERENCE, path) };
    let arrivals = arrivals::poisson(rng, RATE, duration).into_iter();
    arrivals.map(|at| Ticket { at, request: request.clone() }).collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Work {
    /// `SELECT 1`, this often, one after the other.
    statements: u32,
    /// Of a report that is rendered.
    pages: usize,
}

async fn answer(State(pool): State<Option<PgPool>>, Query(work): Query<Work>) -> Result<String, StatusCode> {
    if let Some(pool) = pool {
        for _ in 0..work.statements {
            sqlx::query("SELECT 1").execute(&pool).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        }
    }
    if work.pages > 0 {
        let rendering = tokio::task::spawn_blocking(move || render(&history(work.pages)));
        let took = rendering.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        return Ok(took.as_micros().to_string());
    }
    Ok("ok".into())
}

/// The processor time of a rendering, which is the same however many others want the processor.
fn render(history: &OrderHistory) -> Duration {
    let time = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let before = time();
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    std::hint::black_box(report.finish());
    time() - before
}

/// Orders like those of the seeded data: two to five lines.
fn history(pages: usize) -> OrderHistory {
    let created_at = chrono::Utc::now();
    let user =
        User { id: Uuid::now_v7(), email: "user@example.com".into(), name: "Ada Archer".into(), created_at };
    let item = |line: usize| OrderItem {
        product_id: Uuid::now_v7(),
        name: format!("Copper Kettle {line}"),
        quantity: 1 + line as i32 % 3,
        unit_price: Cents(1999),
    };
    let order = |page: usize| Order {
        id: Uuid::now_v7(),
        user_id: user.id,
        status: "shipped".into(),
        total: Cents(12_345),
        created_at,
        items: (0..2 + page % 4).map(item).collect(),
    };
    OrderHistory { orders: (0..pages).map(order).collect(), user }
}

/// Runs it until its standard input closes.
pub fn run(config: Config) -> ExitCode {
    run_child(config.nice, async |announce| {
        let pool = match &config.database_url {
            None => None,
            Some(url) => {
                let pool =
                    PgPoolOptions::new().min_connections(2).max_connections(4).test_before_acquire(false);
                Some(pool.connect(url).await.context("could not connect to the database")?)
            }
        };
        let listener = tokio::net::TcpListener::bind(config.listen).await.context("could not listen")?;
        let public = listener.local_addr()?;
        announce.ready(&Ready { public, operator: public })?;
        axum::serve(listener, Router::new().route("/", get(answer)).with_state(pool)).await?;
        Ok(())
    })
}
