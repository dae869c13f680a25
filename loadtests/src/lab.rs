//! The lab bench: a database server, and servers under test that come and go on it.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::Url;
use scratch_postgres::{Database, Options, Postgres, PostgresError, Progress};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use target_app::PROJECT;
use target_app::exercises::Variants;
use target_app::seed::{self, Scale};
use target_app::server::{Ready, exit_with_parent};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex, MutexGuard};

use crate::api::Api;
use crate::providers::{self, Operator};

/// The hidden subcommand under which this binary is the server under test.
pub const SERVER: &str = "target-app";

/// A server that has not said where it listens by then never will.
const START: Duration = Duration::from_secs(15);

/// How often it is looked whether PostgreSQL answers again.
const POLL: Duration = Duration::from_millis(10);

/// The server gives way to the generator, whose clock must be right also when the server takes every processor.
const NICE: &str = "5";

/// What the data and the way to it are like.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// How much data.
    pub scale: Scale,
    /// Seeds the data.
    pub seed: u64,
    /// Added to every exchange with the database.
    pub db_rtt: Duration,
}

/// A database server, and what to put on it.
pub struct Lab {
    /// The server.
    pub postgres: Postgres,
    /// The data.
    pub setting: Setting,
    /// What is run as a server: this program, or one that has the same hidden subcommands.
    pub program: PathBuf,
}

impl Lab {
    /// Finds or starts a database server and prepares the seeded data.
    pub async fn open(setting: Setting, progress: Progress<'_>) -> anyhow::Result<Self> {
        let template = seed::template(setting.scale, setting.seed);
        let postgres = Postgres::obtain(&Options::from_env(PROJECT), &template, progress).await?;
        Ok(Lab { postgres, setting, program: this_program()? })
    }

    /// Starts servers on a fresh clone of the data and waits until they answer.
    pub async fn deploy(&self, deployment: &Deployment<'_>) -> anyhow::Result<Deployed> {
        let database = self.postgres.create_database().await?;
        let providers = match deployment.providers {
            Some(seed) => Some(providers::start(&self.program, seed).await?),
            None => None,
        };
        let mut replicas = Vec::new();
        for number in 0..deployment.replicas {
            let mut replica = Replica::new(self, deployment, &database, number)?;
            if let Some(providers) = &providers {
                replica.command.push("--providers".into());
                replica.command.push(format!("http://{}", providers.ready.public));
            }
            let ready = replica.start(&[]).await?;
            (replica.listen, replica.operator) = (ready.public, ready.operator);
            replicas.push((ready, Mutex::new(replica)));
        }
        // A server that others use is not restarted.
        let private = self.postgres.programs().is_some();
        let postgres = private.then(|| database.admin_options());
        Ok(Deployed { database, providers, replicas: Arc::new(Replicas { servers: replicas, postgres }) })
    }

    /// Ends the database server.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.postgres.stop().await?)
    }
}

/// What can be done about an error of the database server, in a sentence or two.
pub fn database_hint(error: &PostgresError) -> String {
    let hint = error.hint();
    match error {
        PostgresError::Tls { .. } => {
            format!("Stampede speaks plain connections only, so that no encryption is measured: {hint}")
        }
        _ => hint,
    }
}

/// The path of this program.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program's own path is unknown")
}

/// Servers to be started together.
#[derive(Debug, Clone)]
pub struct Deployment<'a> {
    /// The variants that they run.
    pub variants: Variants,
    /// How many.
    pub replicas: usize,
    /// Port of the first; the next ones follow it. 0 takes free ones.
    pub port: u16,
    /// Port of the first one's operator listener, likewise.
    pub operator_port: u16,
    /// Further options, as on a server's command line.
    pub options: &'a [&'a str],
    /// Seeds the simulated providers beside them; without a seed there are none.
    pub providers: Option<u64>,
    /// The exercise whose fact about the data is exported; those of all without one.
    pub data_gauge: Option<&'a str>,
    /// Goes into metrics and logs.
    pub run_id: &'a str,
    /// Directory for the servers' logs; without one they go to standard error.
    pub logs: Option<&'a Path>,
    /// Names the log files.
    pub name: &'a str,
}

/// Servers that answer.
pub struct Deployed {
    database: Database,
    providers: Option<Process>,
    replicas: Arc<Replicas>,
}

impl Deployed {
    /// The servers as a client sees them, and as whoever runs them does.
    pub fn api(&self) -> anyhow::Result<Api> {
        let api = Api::new(
            self.addresses().map(|ready| url(ready.public)).collect::<anyhow::Result<_>>()?,
            self.addresses().map(|ready| url(ready.operator)).collect::<anyhow::Result<_>>()?,
        )?;
        let api = api.on(self.database.admin_options(), self.replicas.clone());
        match &self.providers {
            Some(providers) => Ok(api.with_providers(Operator::new(url(providers.ready.operator)?)?)),
            None => Ok(api),
        }
    }

    /// Where each server listens.
    pub fn addresses(&self) -> impl Iterator<Item = &Ready> {
        self.replicas.servers.iter().map(|(ready, _)| ready)
    }

    /// The database that the servers share.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where the simulated providers listen, if there are any.
    pub fn providers(&self) -> Option<&Ready> {
        self.providers.as_ref().map(|providers| &providers.ready)
    }

    /// Returns when one of the servers has ended by itself.
    pub async fn ended(&self) -> String {
        let waits = self.replicas.servers.iter().map(|(_, replica)| {
            Box::pin(async {
                match &mut replica.lock().await.process {
                    Some(process) => process.child.wait().await,
                    None => std::future::pending().await,
                }
            })
        });
        match futures::future::select_all(waits).await.0 {
            Ok(status) => format!("a server ended with {status}"),
            Err(error) => format!("a server was lost: {error}"),
        }
    }

    /// The last error in the servers' logs, and the log that it is in.
    pub async fn last_error(&self) -> Option<String> {
        for (_, replica) in &self.replicas.servers {
            if let Some(said) = replica.lock().await.log.as_deref().and_then(last_error) {
                return Some(said);
            }
        }
        None
    }

    /// Ends the servers at once and drops their database.
    pub async fn discard(self) -> anyhow::Result<()> {
        for (_, replica) in &self.replicas.servers {
            let mut replica = replica.lock().await;
            replica.kill().await;
            // Most servers have nothing to say, and a folder of empty files hides the ones that had.
            if let Some(log) =
                replica.log.as_ref().filter(|log| log.metadata().is_ok_and(|log| log.len() == 0))
            {
                let _ = std::fs::remove_file(log);
            }
        }
        Ok(self.database.drop().await?)
    }

    /// Lets the servers finish their requests, then drops their database.
    pub async fn shut_down(self) -> anyhow::Result<()> {
        for (_, replica) in &self.replicas.servers {
            let process = replica.lock().await.process.as_ref().and_then(|process| process.child.id());
            if let Some(pid) = process.and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for (_, replica) in &self.replicas.servers {
            if let Some(process) = &mut replica.lock().await.process {
                let _ = tokio::time::timeout(Duration::from_secs(8), process.child.wait()).await;
            }
        }
        self.discard().await
    }
}

fn url(address: SocketAddr) -> anyhow::Result<Url> {
    Url::parse(&format!("http://{address}")).context("an address is a URL's host")
}

/// The servers under test and their PostgreSQL, for whoever kills one of them. Each has the same address afterwards.
pub struct Replicas {
    servers: Vec<(Ready, Mutex<Replica>)>,
    /// The way into a PostgreSQL that may be killed: the lab's own.
    postgres: Option<PgConnectOptions>,
}

impl Replicas {
    /// Kills the server with this number, as `kill -9` does.
    pub async fn kill(&self, number: usize) {
        self.locked(number).await.kill().await;
    }

    /// Starts it again where it was, with these options beside its own, which they replace.
    ///
    /// # Errors
    /// When it does not answer in time, with the last words in its log.
    pub async fn start(&self, number: usize, options: &[&str]) -> anyhow::Result<()> {
        let mut replica = self.locked(number).await;
        replica.kill().await;
        replica.start(options).await.map(drop).context("a server that was killed did not start again")
    }

    async fn locked(&self, number: usize) -> MutexGuard<'_, Replica> {
        self.servers[number % self.servers.len()].1.lock().await
    }

    /// Whether [`Replicas::restart_postgres`] can be called.
    pub fn can_restart_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// Has PostgreSQL end all sessions at once and recover, as after `pg_ctl restart -m immediate`, and waits until it answers again.
    ///
    /// # Errors
    /// When it does not, or is not the lab's own.
    pub async fn restart_postgres(&self) -> anyhow::Result<()> {
        let options = self.postgres.as_ref().context("only the lab's own PostgreSQL is restarted")?;
        let mut session = PgConnection::connect_with(options).await?;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await?;
        // When a process of the server is killed, it takes all of its memory for damaged and begins anew from the log.
        let pid = rustix::process::Pid::from_raw(pid).context("a process has a number")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)
            .context("a session of PostgreSQL could not be killed")?;
        let end = Instant::now() + START;
        // Until this session is gone, the server has not noticed.
        while session.ping().await.is_ok() && Instant::now() < end {
            tokio::time::sleep(POLL).await;
        }
        loop {
            match PgConnection::connect_with(options).await {
                Ok(session) => return Ok(session.close().await?),
                Err(error) if Instant::now() > end => {
                    return Err(error).context("PostgreSQL was restarted and does not answer");
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }
}

/// A server in a process of its own, which is this program under a hidden subcommand. It ends when this is dropped.
pub struct Process {
    child: Child,
    /// Held open: the server ends when it closes, and waiting for a child would close it.
    _lifeline: ChildStdin,
    /// Where it listens.
    pub ready: Ready,
}

impl Process {
    /// The command for such a server, without its arguments.
    pub fn command(program: &Path, subcommand: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args([subcommand, "--nice", NICE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the lab, which then ends its servers.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Starts it, and waits until it says where it listens.
    pub async fn start(command: &mut Command, log: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(log) = log {
            // Appended: a server that is started again must not take away what was said before it was killed.
            let file = File::options().create(true).append(true).open(log);
            command.stderr(file.with_context(|| format!("could not write {}", log.display()))?);
        }
        let mut child = command.spawn().context("the server could not be started")?;
        let output = child.stdout.take().context("the server has no standard output")?;
        let lifeline = child.stdin.take().context("the server has no standard input")?;
        let line = tokio::time::timeout(START, BufReader::new(output).lines().next_line()).await;
        match line {
            Ok(Ok(Some(line))) => {
                let ready =
                    serde_json::from_str(&line).with_context(|| format!("the server said '{line}'"))?;
                Ok(Process { child, _lifeline: lifeline, ready })
            }
            Ok(_) => bail!("the server did not start{}", last_words(log)),
            Err(_) => bail!("the server did not start within {} s{}", START.as_secs(), last_words(log)),
        }
    }
}

/// Runs a server in this process, which [`Process::start`] has started: `serve` listens, says where through its argument, and goes on until
/// standard input closes. Errors go to standard error.
pub(crate) fn run_child(nice: i32, serve: impl AsyncFnOnce(Announce) -> anyhow::Result<()>) -> ExitCode {
    // Before any thread starts, because threads inherit it.
    let _ = rustix::process::setpriority_process(None, nice);
    let run = || {
        let runtime = tokio::runtime::Runtime::new().context("could not start the async runtime")?;
        runtime.block_on(serve(Announce(())))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says once where a server listens.
pub(crate) struct Announce(());

impl Announce {
    /// As a line of JSON on standard output, as any server of the lab does. From then on the process ends with its parent.
    pub(crate) fn ready(self, ready: &Ready) -> anyhow::Result<()> {
        exit_with_parent();
        writeln!(std::io::stdout(), "{}", serde_json::to_string(ready)?).context("nobody reads the addresses")
    }
}

/// A server under test, and how it is started.
struct Replica {
    program: PathBuf,
    /// The arguments but for the addresses.
    command: Vec<String>,
    listen: SocketAddr,
    operator: SocketAddr,
    database: String,
    log: Option<PathBuf>,
    process: Option<Process>,
}

impl Replica {
    fn new(
        lab: &Lab,
        deployment: &Deployment<'_>,
        database: &Database,
        number: usize,
    ) -> anyhow::Result<Self> {
        let at = |first: u16| {
            let port = match first {
                0 => 0,
                first => {
                    first.checked_add(number as u16).context("the ports of the replicas go beyond 65535")?
                }
            };
            anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let mut command =
            ["--run-id", deployment.run_id, "--exit-with-parent", "--db-rtt"].map(String::from).to_vec();
        command.push(format!("{}us", lab.setting.db_rtt.as_micros()));
        command.extend(deployment.options.iter().map(|option| (*option).into()));
        if let Some(exercise) = deployment.data_gauge {
            command.extend(["--data-gauge".into(), exercise.into()]);
        }
        for (id, variant) in deployment.variants.entries() {
            command.extend(["--variant".into(), format!("{id}={}", variant.name)]);
        }
        Ok(Replica {
            program: lab.program.clone(),
            command,
            listen: at(deployment.port)?,
            operator: at(deployment.operator_port)?,
            database: database.url(),
            log: deployment.logs.map(|dir| dir.join(format!("server-{}-{number}.log", deployment.name))),
            process: None,
        })
    }

    async fn start(&mut self, options: &[&str]) -> anyhow::Result<Ready> {
        let mut command = Process::command(&self.program, SERVER);
        command
            .args(["--listen", &self.listen.to_string(), "--operator-listen", &self.operator.to_string()])
            .args(&self.command)
            .args(options)
            // Not an argument: it holds a password, and everybody can list arguments.
            .env("DATABASE_URL", &self.database);
        let process = Process::start(&mut command, self.log.as_deref()).await?;
        let ready = process.ready.clone();
        self.process = Some(process);
        Ok(ready)
    }

    async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already; then there is nothing to kill.
            let _ = process.child.kill().await;
        }
    }
}

/// What a server wrote last, for an error message.
fn last_words(log: Option<&Path>) -> String {
    let text = log.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    match text.trim().lines().last() {
        Some(line) => format!(": {}", line.trim_start_matches("error: ")),
        None => String::new(),
    }
}

/// Characters of an error that are repeated; all of it is in the log.
const LONGEST_WORDS: usize = 200;

/// The last error in a server's log, in its own words: a line of JSON of that level, or what a panic printed.
fn last_error(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let mut lines = text.lines().rev().filter_map(|line| match serde_json::from_str::<Value>(line) {
        Ok(line) if line["level"] == "ERROR" => {
            let said = [&line["message"], &line["error"]].map(|field| field.as_str().unwrap_or_default());
            Some(said.join(" ").trim().to_owned())
        }
        Ok(_) => None,
        Err(_) => line.contains("panicked").then(|| line.to_owned()),
    });
    let said: String = lines.next()?.chars().take(LONGEST_WORDS).collect();
    Some(format!("the server's last error is '{said}', and its log {}", log.display()))
}
