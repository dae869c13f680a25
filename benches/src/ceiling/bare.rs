//! What a generator is measured on and against, in processes of their own: a server that does next to nothing, and goose
//! as it comes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use goose::GooseAttack;
use goose::config::{GooseConfiguration, GooseDefault, GooseDefaultType};
use goose::goose::{Scenario, Transaction};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::tool;

/// Answered at once.
pub(super) const HEALTH: &str = "/health";

/// Answered at once, but for the first [`STALL`] of each [`STALL_PERIOD`]: whoever comes then is answered when it is over.
pub(super) const STALLS: &str = "/stalls";
/// A tenth of the time, so that the percentiles of those who come at a constant rate can be told by arithmetic.
pub(super) const STALL: Duration = Duration::from_millis(100);
pub(super) const STALL_PERIOD: Duration = Duration::from_secs(1);

/// A server that does not answer by then will not.
const START: Duration = Duration::from_secs(15);

/// What this program does when it is started by itself.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Role {
    /// Serves until standard input is closed, after a line with the address
    #[command(hide = true)]
    BareServer,
    /// Loads a server as goose alone does, and prints what came of it
    #[command(hide = true)]
    PlainGoose { url: String, users: usize, seconds: u32 },
}

impl Role {
    pub(super) async fn play(self) -> anyhow::Result<()> {
        match self {
            Role::BareServer => serve().await,
            Role::PlainGoose { url, users, seconds } => {
                let count = plain_goose(&url, users, seconds).await?;
                // A line of its own: goose prints to standard output as well.
                Ok(writeln!(std::io::stdout(), "\n{}", serde_json::to_string(&count)?)?)
            }
        }
    }
}

async fn serve() -> anyhow::Result<()> {
    let began = Instant::now();
    let stall = move || async move {
        let phase = began.elapsed().as_nanos() % STALL_PERIOD.as_nanos();
        let phase = Duration::from_nanos(phase as u64);
        // Even a sleep of no length takes a millisecond.
        if phase < STALL {
            tokio::time::sleep(STALL - phase).await;
        }
        "ok"
    };
    let router = Router::new().route(HEALTH, get(|| async { "ok" })).route(STALLS, get(stall));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    // The server ends with whoever started it, however that ends.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    Ok(axum::serve(listener, router).await?)
}

/// The bare server in a process of its own, which ends with this.
pub(super) struct BareServer {
    _child: Child,
    _lifeline: ChildStdin,
    address: SocketAddr,
}

impl BareServer {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let mut child = role("bare-server")?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lifeline = child.stdin.take().context("the bare server has no standard input")?;
        let output = child.stdout.take().context("the bare server has no standard output")?;
        let line = tokio::time::timeout(START, BufReader::new(output).lines().next_line())
            .await
            .context("the bare server did not start in time")??
            .context("the bare server did not start")?;
        let address = line.parse().with_context(|| format!("the bare server said '{line}'"))?;
        Ok(Self { _child: child, _lifeline: lifeline, address })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// This program, in another role.
pub(super) fn role(name: &str) -> anyhow::Result<Command> {
    let mut command = tool::command(std::env::current_exe().context("this program's own path is unknown")?);
    command.args(["ceiling", name]);
    Ok(command)
}

/// What plain goose did.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Count {
    /// Requests that were answered with success.
    pub(super) ok: u64,
    pub(super) failed: u64,
    /// From the first request's start to the last one's end.
    pub(super) seconds: f64,
}

/// A closed loop of goose's users, each with its own client and goose's own metrics, as a new goose project has them.
async fn plain_goose(url: &str, users: usize, seconds: u32) -> anyhow::Result<Count> {
    #[derive(Default)]
    struct Seen {
        first: OnceLock<Instant>,
        last_us: AtomicU64,
        ok: AtomicU64,
        failed: AtomicU64,
    }
    let (host, path) = url.split_at(url.rfind('/').context("the URL has no path")?);
    let path: Arc<str> = path.into();
    let seen = Arc::new(Seen::default());

    let counted = seen.clone();
    let request = Transaction::new(Arc::new(move |user| {
        let (seen, path) = (counted.clone(), path.clone());
        Box::pin(async move {
            let first = *seen.first.get_or_init(Instant::now);
            let answer = user.get(&path).await?;
            let read = match answer.response {
                Ok(response) if response.status().is_success() => response.bytes().await.is_ok(),
                _ => false,
            };
            if read { &seen.ok } else { &seen.failed }.fetch_add(1, Ordering::Relaxed);
            seen.last_us.fetch_max(first.elapsed().as_micros() as u64, Ordering::Relaxed);
            Ok(())
        })
    }));
    let mut configuration = GooseConfiguration::default();
    configuration.host = Some(host.to_owned());
    configuration.quiet = 1;
    configuration.no_telnet = true;
    configuration.no_websocket = true;
    configuration.no_print_metrics = true;
    GooseAttack::initialize_with_config(configuration)?
        .set_default(GooseDefault::TestPlan, format!("{users},0s;{users},{seconds}s;0,0s").as_str())?
        .register_scenario(Scenario::new("plain").register_transaction(request))
        .execute()
        .await?;
    Ok(Count {
        ok: seen.ok.load(Ordering::Relaxed),
        failed: seen.failed.load(Ordering::Relaxed),
        seconds: Duration::from_micros(seen.last_us.load(Ordering::Relaxed)).as_secs_f64(),
    })
}
