//! Runs the app on its two listeners until it is told to stop.

use std::future::Future;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions, PgPool};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::abandoned::Abandoned;
use crate::app;
use crate::config::Config;
use crate::exercises::{Exercises, Variants, all_metrics};
use crate::listen::{self, Limits};
use crate::providers::Providers;
use crate::readiness::Readiness;
use crate::relay;
use crate::sale_worker;
use crate::state::AppState;
use crate::telemetry::spec::RUN_INFO;
use crate::telemetry::{DataGauges, Gauges, Telemetry};

/// How long requests in flight may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Connections to the database for what is done beside the requests.
const WORKERS_CONNECTIONS: u32 = 2;

/// Connections to the operator port at a time.
const OPERATORS: usize = 32;

/// What a server prints as one line of JSON on standard output when it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// Where the public API listens.
    pub public: SocketAddr,
    /// Where the operator port listens.
    pub operator: SocketAddr,
}

/// Runs a server to its end; errors go to standard error.
pub fn run(config: Config) -> ExitCode {
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `eprintln!` would panic when nobody reads it any more.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Config) -> anyhow::Result<()> {
    let variants = config.choice.resolve().map_err(|error| anyhow::anyhow!("{error}; {}", error.hint()))?;
    // Before any thread starts, because threads inherit it. A system without it only loses the courtesy.
    if config.nice > 0 {
        let _ = rustix::process::setpriority_process(None, config.nice);
    }
    let telemetry = Arc::new(Telemetry::start(&config.telemetry, all_metrics(), config.acquire_timeout())?);
    for (exercise, variant) in variants.entries() {
        let labels = [exercise, variant.name, &config.telemetry.run_id, env!("CARGO_PKG_VERSION")];
        telemetry.metrics.gauge(&RUN_INFO, &labels).set(1.0);
    }
    let mut runtime = Builder::new_multi_thread();
    if let Some(threads) = config.worker_threads {
        runtime.worker_threads(threads.into());
    }
    let runtime = runtime.enable_all().build().context("could not start the async runtime")?;
    let operators = operators_runtime().context("could not start the operator port's runtime")?;
    let served = runtime.block_on(serve(config, variants, telemetry.clone(), operators.handle().clone()));
    telemetry.flush();
    served
}

/// A thread for the operator port and all that it asks: whoever looks at a server whose workers are stuck has to get an
/// answer all the same.
fn operators_runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name("operator-port").enable_all().build()
}

/// Serves until SIGTERM or Ctrl-C, then lets the requests in flight end. Sockets belong to the runtime that opened them, so
/// those of `operators` are opened there.
async fn serve(
    config: Config,
    variants: Variants,
    telemetry: Arc<Telemetry>,
    operators: Handle,
) -> anyhow::Result<()> {
    let mut database = scratch_postgres::read_url(&config.database_url)
        .ok()
        .context("DATABASE_URL cannot be read; it looks like postgres://user:password@host:5432/name")?
        .application_name("target-app")
        .disable_statement_logging();
    // For who looks at the server: beside its pool, and not counted among its statements.
    let beside = database.clone();
    if telemetry.is_on() {
        database = sql_tally::reporting(database);
    }
    if !config.db_rtt.is_zero() {
        let address = tokio::net::lookup_host((database.get_host(), database.get_port()))
            .await
            .ok()
            .and_then(|mut addresses| addresses.next())
            .with_context(|| format!("the database's host {} has no address", database.get_host()))?;
        let relay =
            relay::relay(address, config.db_rtt).context("the relay to the database could not listen")?;
        database = database.host(&relay.ip().to_string()).port(relay.port());
    }
    let mut pool = PgPoolOptions::new()
        .max_connections(variants.hung_payments.connections(config.pool_size))
        .acquire_timeout(config.acquire_timeout())
        // A ping before each use would add a round trip to every request; a broken connection shows soon enough.
        .test_before_acquire(false);
    if telemetry.is_on() {
        pool = telemetry.pool.observe(pool);
    }
    let abandoned = Abandoned::default();
    let (returned, left) = (telemetry.clone(), abandoned.clone());
    pool = pool.after_release(move |connection, metadata| {
        if returned.is_on() {
            returned.pool.came_back(&metadata);
        }
        let left = left.clone();
        async move { left.end_transaction(connection).await.map(|()| true) }.boxed()
    });
    let pool =
        pool.connect_with(database).await.context("could not connect to the database; check DATABASE_URL")?;
    tokio::spawn(warm_up(pool.clone(), config.warm_connections.min(config.pool_size)));
    let gauges = if telemetry.is_on() {
        let (data_gauges, patience) = (config.data_gauges(), config.acquire_timeout());
        let beside = beside.clone();
        let start = async move { DataGauges::start(data_gauges, &beside, patience).await };
        let data_gauges = operators.spawn(start).await?;
        let gauges = Gauges::new(telemetry.clone(), pool.clone(), data_gauges);
        Some(gauges.context("the runtime cannot be watched")?)
    } else {
        None
    };
    let providers = Providers::new(config.providers.clone(), telemetry.clone())
        .context("the HTTP client for the outside services could not be built")?;
    let state = AppState { pool, exercises: Arc::new(Exercises::new(variants)), providers, telemetry };

    // With connections of its own: requests must not wait for what is done beside them.
    let beside_requests =
        PgPoolOptions::new().max_connections(WORKERS_CONNECTIONS).connect_lazy_with(beside.clone());
    tokio::spawn(sale_worker::work(beside_requests, state.providers.clone()));

    let public = bind(config.listen).await?;
    let operator = operators.spawn(bind(config.operator_listen)).await??;
    let ready = Ready { public: public.local_addr()?, operator: operator.local_addr()? };

    let (stop, stopped) = watch::channel(());
    if config.exit_with_parent {
        exit_with_parent();
    }
    let head = config.head_timeout();
    let limits = Limits { connections: config.connections(), head };
    let public =
        listen::serve(public, app::public(state.clone(), &config, abandoned), limits, when_stopped(&stopped));
    let limits = Limits { connections: OPERATORS, head };
    let router = app::operator(state.clone(), gauges, Readiness::new(beside));
    let operator = listen::serve(operator, router, limits, when_stopped(&stopped));
    let operator = operators.spawn(operator);
    let serving = async { tokio::join!(public, operator).1 };
    tokio::pin!(serving);

    writeln!(std::io::stdout(), "{}", serde_json::to_string(&ready)?)
        .context("nobody reads the addresses")?;
    tokio::select! {
        ended = &mut serving => return ended.context("the operator port failed"),
        signal = signalled() => signal.context("could not listen for signals")?,
    }
    drop(stop);
    if tokio::time::timeout(GRACE, serving).await.is_err() {
        tracing::warn!("requests were still in flight {} s after the signal to stop", GRACE.as_secs());
    }
    // Bounded as well: a connection may be busy with a statement that nobody waits for any more.
    let _ = tokio::time::timeout(Duration::from_secs(1), state.pool.close()).await;
    Ok(())
}

/// Opens connections before they are needed: all at once, so that none is counted twice. One that cannot be opened now is opened when it is
/// needed. (The pool's own minimum is opened one after the other before the server may start, which takes seconds on a busy machine.)
async fn warm_up(pool: PgPool, connections: u32) {
    join_all((0..connections).map(|_| pool.acquire())).await;
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("could not listen on {address}; choose another address or port (port 0 takes a free one)")
    })
}

/// Ends when the sender is dropped.
fn when_stopped(stopped: &watch::Receiver<()>) -> impl Future<Output = ()> + use<> {
    let mut stopped = stopped.clone();
    async move { while stopped.changed().await.is_ok() {} }
}

/// Ends at SIGTERM or Ctrl-C.
async fn signalled() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Ends the process when standard input closes. A thread of its own, because the workers may be the ones that are stuck.
pub fn exit_with_parent() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        let mut buffer = [0; 64];
        while matches!(input.read(&mut buffer), Ok(1..)) {}
        std::process::exit(0);
    });
}
