//! The fixed checkout in process and over HTTP, against `pgbench` with the same SQL.
//!
//! All three buy the same carts from the same data, each time on a fresh clone. The statements for pgbench are the ones
//! that the checkout leaves prepared in its connection, so they cannot differ from it. What does differ, and is pgbench's
//! advantage, because it has no types but numbers:
//!
//! - An order's id is made of a counter and the client's number instead of a UUIDv7, and grows likewise, so that the
//!   indexes grow at their right edge; its time is the server's. Prices and totals are known before, while the checkout
//!   waits for the price of each product that it took.
//! - BEGIN and COMMIT are prepared as well. sqlx sends them as text. Each is one round trip for both.
//! - Parameters travel as text instead of binary.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use loadtests::lab::{Deployed, Deployment, Lab, Setting};
use loadtests::load::arrivals::seeded;
use loadtests::load::{Answer, Cancel, Mode, Outcome, Plan, Request, Ticket, Timeline, drive, status_reason};
use rand::RngExt;
use scratch_postgres::Database;
use sqlx::types::Uuid;
use sqlx::{ConnectOptions, Connection, PgPool, Row};
use target_app::domain::orders::{Cart, CartItem};
use target_app::exercises::Variants;
use target_app::exercises::oversold_stock::{Service, Variant};
use target_app::seed::Scale;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::plan::{Sample, interleave, percentiles};
use super::results::{Checkout, IN_PROCESS, OVER_HTTP, PGBENCH, Skipped};
use super::tool::{self, Tools};
use super::{Pace, progress, unless_interrupted};

/// Checkouts at once: fewer than the connections that a server has by default, so that none waits for one.
pub(super) const CONCURRENCY: u32 = 8;

/// Different carts; pgbench takes a script for each, and 128 at most.
const CARTS: usize = 64;

/// Pieces in a cart: one each of two products.
const PIECES: i64 = 2;

/// More than is sold in any measurement, of each product.
const STOCK: i32 = 1_000_000;

/// Statements are prepared and connections warmed before a measurement begins.
const WARM_UP: Duration = Duration::from_secs(1);

const SEED: u64 = 42;

/// Measures the three, interleaved.
pub(super) async fn measure(pace: Pace, tools: &Tools, logs: &Path) -> anyhow::Result<Checkout> {
    let setting = Setting { scale: Scale::Small, seed: SEED, db_rtt: Duration::ZERO };
    let waiting = ProgressBar::new_spinner();
    let doing = |what: &str| waiting.set_message(what.to_owned());
    let lab = unless_interrupted(Lab::open(setting, &doing)).await?;
    waiting.finish_and_clear();
    let measured = unless_interrupted(measure_on(&lab, pace, tools, logs)).await;
    // Also after a failure: a given server would keep the clones.
    lab.close().await?;
    measured
}

async fn measure_on(lab: &Lab, pace: Pace, tools: &Tools, logs: &Path) -> anyhow::Result<Checkout> {
    let shop = Shop::open(lab).await?;
    let mut subjects = vec![IN_PROCESS, OVER_HTTP];
    let mut skipped = Vec::new();
    let pgbench = match tools.find(PGBENCH, lab.postgres.programs()) {
        Some(program) => {
            subjects.push(PGBENCH);
            Some(Pgbench::new(program, &shop)?)
        }
        None => {
            let why = "neither beside the PostgreSQL server nor in PATH (Debian: apt install postgresql)";
            skipped.push(Skipped { tool: PGBENCH, why: why.into() });
            None
        }
    };

    let bar = progress("checkout", u64::from(pace.rounds) * 2 * subjects.len() as u64);
    let runs = interleave(&subjects, pace.rounds, &bar, async |index| match (subjects[index], &pgbench) {
        (OVER_HTTP, _) => shop.over_http(lab, pace.duration(), logs).await,
        (IN_PROCESS, _) => on_clone(lab, async |data| shop.in_process(data, pace.duration()).await).await,
        (_, Some(pgbench)) => on_clone(lab, async |data| pgbench.run(data, pace.duration()).await).await,
        (_, None) => bail!("pgbench was skipped"),
    })
    .await?;
    bar.finish_and_clear();
    let postgres = format!("{} ({})", lab.postgres.version(), lab.postgres.origin());
    Ok(Checkout { concurrency: CONCURRENCY, postgres, statements: shop.statements, runs, skipped })
}

/// What is bought, and with which statements.
struct Shop {
    carts: Vec<Cart>,
    /// For each cart, in the order of its products' ids.
    prices: Vec<[i64; PIECES as usize]>,
    /// In the order in which a checkout first uses them.
    statements: Vec<String>,
}

impl Shop {
    /// Draws the carts from the seeded data, and sees a checkout.
    async fn open(lab: &Lab) -> anyhow::Result<Self> {
        let database = lab.postgres.create_database().await?;
        let pool = pool(&database, 1).await?;
        let products: Vec<(Uuid, i64)> =
            sqlx::query_as("SELECT id, price_cents FROM products ORDER BY id").fetch_all(&pool).await?;
        let users: Vec<Uuid> =
            sqlx::query_scalar("SELECT id FROM users ORDER BY id").fetch_all(&pool).await?;
        restock(&pool).await?;

        let mut rng = seeded(SEED);
        let mut carts = Vec::new();
        let mut prices = Vec::new();
        for _ in 0..CARTS {
            let first = rng.random_range(0..products.len());
            let second = (first + rng.random_range(1..products.len())) % products.len();
            let item = |place: usize| CartItem { product_id: products[place].0, quantity: 1 };
            let user_id = users[rng.random_range(0..users.len())];
            carts.push(Cart { user_id, items: vec![item(first), item(second)] });
            prices.push([products[first.min(second)].1, products[first.max(second)].1]);
        }

        let statements = prepared_by_a_checkout(&database, &carts[0]).await?;
        pool.close().await;
        database.drop().await?;
        Ok(Self { carts, prices, statements })
    }

    /// Callers of the exercise's function, on a pool with a connection for each.
    async fn in_process(&self, database: &Database, duration: Duration) -> anyhow::Result<Sample> {
        let pool = pool(database, CONCURRENCY).await?;
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for caller in 0..CONCURRENCY {
            let (pool, carts) = (pool.clone(), self.carts.clone());
            callers.spawn(async move {
                let fixed = Service::new(Variant::Fixed);
                let mut rng = seeded(u64::from(caller));
                let mut times = histogram();
                while start.elapsed() < WARM_UP + duration {
                    let cart = &carts[rng.random_range(0..carts.len())];
                    let begun = start.elapsed();
                    fixed.place_order(&pool, cart).await?;
                    if begun >= WARM_UP {
                        times.saturating_record((start.elapsed() - begun).as_micros() as u64);
                    }
                }
                anyhow::Ok(times)
            });
        }
        let mut times = histogram();
        while let Some(caller) = callers.join_next().await {
            times.add(caller??)?;
        }
        pool.close().await;
        Ok(Sample {
            rate: times.len() as f64 / duration.as_secs_f64(),
            response: None,
            service: Some(percentiles(&times)),
            invalid: None,
        })
    }

    /// The lab's server, loaded by the lab's generator in a closed loop.
    async fn over_http(&self, lab: &Lab, duration: Duration, logs: &Path) -> anyhow::Result<Sample> {
        let deployment = Deployment {
            variants: Variants::FIXED,
            replicas: 1,
            port: 0,
            operator_port: 0,
            options: &[],
            providers: None,
            data_gauge: None,
            run_id: "ceiling",
            logs: Some(logs),
            name: "ceiling",
        };
        let deployed = lab.deploy(&deployment).await?;
        let before = prepare(deployed.database()).await?;
        let sample = self.load(&deployed, duration).await?;
        before.check(deployed.database()).await?;
        deployed.discard().await?;
        Ok(sample)
    }

    async fn load(&self, deployed: &Deployed, duration: Duration) -> anyhow::Result<Sample> {
        // The users go round the tickets, so there are enough of them to be a random sequence.
        let mut rng = seeded(SEED);
        let bodies: Vec<String> = self.carts.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let ticket = |_| {
            let body = bodies[rng.random_range(0..bodies.len())].clone();
            Ticket { at: Duration::ZERO, request: Request::post("checkout", "/orders/checkout", body) }
        };
        let plan = Plan {
            targets: deployed.api()?.targets,
            tickets: (0..CARTS * CARTS).map(ticket).collect(),
            duration: WARM_UP + duration,
            warm_up: WARM_UP,
            users: CONCURRENCY as usize,
            timeout: Duration::from_secs(10),
            drain: Duration::from_secs(1),
            mode: Mode::Closed,
            trace_seed: SEED,
            meter: None,
            timeline: Timeline::default(),
        };
        let judge = |_: &Request, answer: &Answer<'_>| match answer.status {
            201 => Outcome::Ok,
            status => Outcome::Failed(status_reason(status)),
        };
        let load = drive(plan, Arc::new(judge), Cancel::new()).await?;
        let failed = load.tickets.failed + load.tickets.timed_out;
        ensure!(failed == 0, "{failed} checkouts over HTTP failed, and none may: {:?}", load.request_stats());
        Ok(Sample {
            rate: load.throughput("checkout"),
            response: None,
            service: Some(percentiles(&load.response("checkout"))),
            invalid: None,
        })
    }
}

/// The statements that a checkout leaves prepared in a fresh connection, in their order.
async fn prepared_by_a_checkout(database: &Database, cart: &Cart) -> anyhow::Result<Vec<String>> {
    let pool = pool(database, 1).await?;
    Service::new(Variant::Fixed).place_order(&pool, cart).await?;
    // As text, because a query that is prepared would find itself.
    let rows = sqlx::raw_sql("SELECT statement FROM pg_prepared_statements ORDER BY prepare_time")
        .fetch_all(&pool)
        .await?;
    pool.close().await;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Connections as the server has them, all made beforehand.
async fn pool(database: &Database, connections: u32) -> anyhow::Result<PgPool> {
    let options = database.connect_options().disable_statement_logging();
    Ok(sqlx::postgres::PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .test_before_acquire(false)
        .connect_with(options)
        .await?)
}

/// What is in the database before a measurement.
struct Books {
    orders: i64,
    lines: i64,
    stock: i64,
}

impl Books {
    async fn read(database: &Database) -> anyhow::Result<Self> {
        let mut connection = database.connect_options().disable_statement_logging().connect().await?;
        let (orders, lines, stock) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_items),
                    (SELECT sum(stock) FROM products)",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(Self { orders, lines, stock })
    }

    /// Makes sure that the same work was done, whoever did it.
    async fn check(&self, database: &Database) -> anyhow::Result<()> {
        let after = Self::read(database).await?;
        let orders = after.orders - self.orders;
        let (lines, pieces) = (after.lines - self.lines, self.stock - after.stock);
        ensure!(
            orders > 0 && lines == orders * PIECES && pieces == orders * PIECES,
            "{orders} orders were placed, with {lines} lines and {pieces} pieces taken out of stock; \
             each should have {PIECES} of both"
        );
        Ok(())
    }
}

/// Measures on a clone of its own.
async fn on_clone(
    lab: &Lab,
    measure: impl AsyncFn(&Database) -> anyhow::Result<Sample>,
) -> anyhow::Result<Sample> {
    let database = lab.postgres.create_database().await?;
    let before = prepare(&database).await?;
    let sample = measure(&database).await?;
    before.check(&database).await?;
    database.drop().await?;
    Ok(sample)
}

/// Fills the shelves of a clone.
async fn prepare(database: &Database) -> anyhow::Result<Books> {
    let pool = pool(database, 1).await?;
    restock(&pool).await?;
    pool.close().await;
    Books::read(database).await
}

async fn restock(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query("UPDATE products SET stock = $1").bind(STOCK).execute(pool).await?;
    // Else the first measurement's updates would find, and clean up, what this one leaves.
    sqlx::raw_sql("VACUUM ANALYZE products").execute(pool).await?;
    Ok(())
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid")
}

/// pgbench with a script for each cart.
struct Pgbench {
    program: PathBuf,
    scripts: TempDir,
    /// `name=value` of the scripts' variables. Text is possible only here: expressions in a script are numbers.
    variables: Vec<String>,
}

impl Pgbench {
    fn new(program: PathBuf, shop: &Shop) -> anyhow::Result<Self> {
        let scripts = tempfile::tempdir().context("no directory for pgbench's scripts could be made")?;
        // Ids begin where UUIDv7 is today, in its milliseconds and 16 bits more.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() << 16;
        let mut variables =
            vec![format!("serial={now}"), "one=1".into(), "quantities={1,1}".into(), "status=pending".into()];
        for (n, (cart, prices)) in shop.carts.iter().zip(&shop.prices).enumerate() {
            let mut products: Vec<Uuid> = cart.items.iter().map(|item| item.product_id).collect();
            products.sort();
            let [left, right] = products[..] else { bail!("a cart holds two products") };
            variables.push(format!("user_{n}={}", cart.user_id));
            variables.push(format!("left_{n}={left}"));
            variables.push(format!("right_{n}={right}"));
            variables.push(format!("products_{n}={{{left},{right}}}"));
            variables.push(format!("prices_{n}={{{},{}}}", prices[0], prices[1]));
            variables.push(format!("total_{n}={}", prices.iter().sum::<i64>()));
        }
        let pgbench = Self { program, scripts, variables };
        for cart in 0..CARTS {
            std::fs::write(pgbench.script(cart), script(&shop.statements, cart)?)?;
        }
        Ok(pgbench)
    }

    fn script(&self, cart: usize) -> PathBuf {
        self.scripts.path().join(format!("{cart}.sql"))
    }

    async fn run(&self, database: &Database, duration: Duration) -> anyhow::Result<Sample> {
        let mut command = tool::command(&self.program);
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(CONCURRENCY as usize));
        command
            .args(["--no-vacuum", "--protocol=prepared", "--progress=1"])
            .args(["--client", &CONCURRENCY.to_string(), "--jobs", &threads.to_string()])
            .args(["--time", &(WARM_UP + duration).as_secs().to_string()])
            .args(["--random-seed", &SEED.to_string()])
            .args(self.variables.iter().flat_map(|variable| ["--define", variable]))
            .args((0..CARTS).map(|cart| format!("--file={}", self.script(cart).display())))
            // Not an argument: it holds a password, and everybody can list arguments.
            .env("PGDATABASE", for_libpq(&database.url()));
        let output = tool::output(command, WARM_UP + duration).await?;
        Ok(Sample { rate: rate(&output.stderr)?, response: None, service: None, invalid: None })
    }
}

/// The script that buys a cart: what the checkout does, its parameters replaced by the cart's variables.
fn script(statements: &[String], cart: usize) -> anyhow::Result<String> {
    let [take, insert] = statements else {
        bail!(
            "the fixed checkout should consist of an UPDATE of the stock and an INSERT of the order, and prepared {} such \
             statements; pgbench's script needs to learn the change: {statements:?}",
            statements.len()
        );
    };
    let order = "(lpad(to_hex(:serial::bigint), 16, '0') || lpad(to_hex(:client_id::bigint), 16, '0'))::uuid";
    let variable = |name: &str| format!(":{name}_{cart}");
    let take = |side: &str| bind(take, &[variable(side), ":one".into()]);
    let insert = bind(
        insert,
        &[
            order.into(),
            variable("user"),
            ":status".into(),
            variable("total"),
            "now()".into(),
            variable("products"),
            ":quantities".into(),
            variable("prices"),
        ],
    );
    Ok(format!(
        "\\set serial :serial + 1\nBEGIN;\n{};\n{};\n{};\nCOMMIT;\n",
        take("left")?,
        take("right")?,
        insert?
    ))
}

/// A statement with each `$n` replaced by the `n`th value.
fn bind(statement: &str, values: &[String]) -> anyhow::Result<String> {
    let mut pieces = statement.split('$');
    let mut bound = pieces.next().unwrap_or_default().to_owned();
    let mut highest = 0;
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        let number: usize = piece[..piece.len() - rest.len()]
            .parse()
            .with_context(|| format!("a parameter of `{statement}` has no number"))?;
        let value = number.checked_sub(1).and_then(|index| values.get(index));
        bound += value.with_context(|| format!("`{statement}` has a parameter ${number}, which is new"))?;
        bound += rest;
        highest = highest.max(number);
    }
    ensure!(highest == values.len(), "`{statement}` should have {} parameters", values.len());
    Ok(bound)
}

/// A URL of sqlx as libpq reads it, which refuses parameters that it does not know.
fn for_libpq(url: &str) -> String {
    let Some((address, query)) = url.split_once('?') else { return url.to_owned() };
    let known: Vec<&str> =
        query.split('&').filter(|pair| !pair.starts_with("statement-cache-capacity=")).collect();
    format!("{address}?{}", known.join("&"))
}

/// Transactions a second after the warm-up, from pgbench's progress.
fn rate(progress: &str) -> anyhow::Result<f64> {
    let mut before = 0.0;
    let mut transactions = 0.0;
    let mut seconds = 0.0;
    for line in progress.lines() {
        let Some(line) = line.strip_prefix("progress: ") else { continue };
        let (at, rest) = line.split_once(" s, ").context("a line of pgbench's progress has no time")?;
        let (tps, rest) = rest.split_once(" tps, ").context("a line of pgbench's progress has no rate")?;
        ensure!(
            rest.ends_with(" 0 failed") || !rest.contains("failed"),
            "pgbench reports failed transactions: {line}"
        );
        let at = tool::number(PGBENCH, "a time", at)?;
        if before >= WARM_UP.as_secs_f64() * 0.9 {
            transactions += tool::number(PGBENCH, "a rate", tps)? * (at - before);
            seconds += at - before;
        }
        before = at;
    }
    ensure!(seconds > 0.0, "pgbench reported no progress after its warm-up:\n{progress}");
    Ok(transactions / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKE: &str = "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2";
    const INSERT: &str =
        "INSERT INTO orders VALUES ($1, $2, $3, $4, $5); SELECT $1, * FROM UNNEST($6::uuid[], $7, $8)";

    #[test]
    fn a_script_is_the_statements_of_a_checkout_in_its_order_with_the_carts_variables() {
        let script = script(&[TAKE.to_owned(), INSERT.to_owned()], 7).unwrap();
        let id =
            "(lpad(to_hex(:serial::bigint), 16, '0') || lpad(to_hex(:client_id::bigint), 16, '0'))::uuid";
        let expected = format!(
            "\\set serial :serial + 1\n\
             BEGIN;\n\
             UPDATE products SET stock = stock - :one WHERE id = :left_7 AND stock >= :one;\n\
             UPDATE products SET stock = stock - :one WHERE id = :right_7 AND stock >= :one;\n\
             INSERT INTO orders VALUES ({id}, :user_7, :status, :total_7, now()); \
             SELECT {id}, * FROM UNNEST(:products_7::uuid[], :quantities, :prices_7);\n\
             COMMIT;\n"
        );
        assert_eq!(script, expected);
    }

    #[test]
    fn a_checkout_that_has_changed_is_not_compared_with_what_it_was() {
        let error = |statements: &[&str]| {
            let statements: Vec<String> = statements.iter().map(|text| (*text).to_owned()).collect();
            script(&statements, 0).unwrap_err().to_string()
        };
        assert!(error(&[TAKE]).contains("prepared 1 such"), "{}", error(&[TAKE]));
        assert!(error(&["UPDATE x SET y = $3", INSERT]).contains("parameter $3"));
        assert!(error(&["UPDATE x SET y = $1", INSERT]).contains("should have 2 parameters"));
    }

    #[test]
    fn the_rate_is_that_after_the_warm_up() {
        let rate = rate(include_str!("samples/pgbench.txt")).unwrap();
        assert!((rate - (7307.6 + 7511.7) / 2.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn a_run_of_pgbench_without_progress_or_with_failures_gives_no_rate() {
        let error = |text: &str| rate(text).unwrap_err().to_string();
        assert!(error("").contains("no progress"));
        assert!(error("progress: 1.0 s, 9.0 tps, lat 0.2 ms stddev 1.1, 0 failed").contains("no progress"));
        assert!(error("progress: 2.0 s, 9.0 tps, lat 0.2 ms stddev 1.1, 3 failed").contains("3 failed"));
        assert!(
            error("progress: 1.0 s, fast tps, lat 0.2 ms\nprogress: 2.0 s, fast tps, lat").contains("'fast'")
        );
    }

    #[test]
    fn libpq_is_spared_what_only_sqlx_knows() {
        for (url, expected) in [
            (
                "postgres://u:p@h:5/d?sslmode=disable&statement-cache-capacity=100",
                "postgres://u:p@h:5/d?sslmode=disable",
            ),
            ("postgres://u:p@h:5/d?statement-cache-capacity=100", "postgres://u:p@h:5/d?"),
            ("postgres://u:p@h:5/d", "postgres://u:p@h:5/d"),
        ] {
            assert_eq!(for_libpq(url), expected);
        }
    }
}
