//! A private server: its cluster, made once and copied, and the process that runs it.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use scratch_server::{Area, Kind, POLL, Run, Sharing, Signal, Supervised, hash, output};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use crate::binaries::Binaries;
use crate::prepared::{Prepared, explain};
use crate::template::{OWNER, Owner, Template, connect, execute};
use crate::{PostgresError, Progress, Project};

/// What is particular about PostgreSQL.
pub(crate) static POSTGRES: Kind = Kind {
    name: "postgres",
    users: &["postgres", "nobody"],
    // PGDATA, PGPORT and their like.
    variables: "PG",
    // Immediate shutdown. PostgreSQL itself kills what has not obeyed after five seconds.
    stop: Signal::QUIT,
    pid_file: "cluster/data/postmaster.pid",
    // The copy, its first WAL segments, and some to work with.
    room_bytes: 128 << 20,
    free: shared_memory,
};

/// How long a server may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Ports are chosen free, but somebody else may take one before the server does.
const PORT_ATTEMPTS: usize = 5;

/// The cluster's administrator, who makes the template and its clones.
fn user(project: Project) -> &'static str {
    project.name()
}

/// Who owns the clones: the app's role.
fn app(project: Project) -> String {
    format!("{}_app", project.name())
}

/// The template's name in a private cluster, which holds no other.
pub(crate) fn template_name(project: Project) -> String {
    format!("{}_template", project.name())
}

/// Makes the directory $1 with a data directory, and two passwords that only its owner can read. Locale C sorts and
/// compares by code point, the same on every system. Nothing is synced: a cluster that a power cut damages is made
/// anew. Small WAL segments make a small cluster to copy.
///
/// The passwords keep other users of this machine out. They travel in the clear, on loopback, where only root could
/// listen: sqlx's half of scram costs 40 ms of CPU a connection in a debug build. They are 128 random bits, which need no
/// stretching, so where the server lets us ($4), it does none either: 3 ms a connection instead of 9.
const INITDB: &str = r#"
umask 077
mkdir "$1" && printf %s "$PASSWORD" >"$1/password" && printf %s "$APP_PASSWORD" >"$1/app-password" || exit
unset PASSWORD APP_PASSWORD
exec "$2/initdb" --pgdata="$1/data" --username="$3" --pwfile="$1/password" --auth=password \
    --encoding=UTF8 --locale=C --wal-segsize=4 --no-sync --no-instructions $4
"#;

/// The server's settings, where they are not PostgreSQL's own. Autovacuum, `synchronous_commit` and
/// `shared_preload_libraries` stay as production has them.
const SETTINGS: &[(&str, &str)] = &[
    // Loopback only, and no socket file: the path of one may be at most 107 bytes long.
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    // The data is thrown away after the run, so none of it must survive a power cut.
    ("fsync", "off"),
    ("full_page_writes", "off"),
    // A run's files may be in memory, and without fsync a checkpoint is cheap.
    ("max_wal_size", "256MB"),
    // Enough for several replicas with a pool each, and for code that leaks connections.
    ("max_connections", "200"),
    // Explicit, because initdb chooses less where it finds little shared memory.
    ("shared_buffers", "128MB"),
    // Some packages are built without it: plans would be compiled on one machine and not on the next.
    ("jit", "off"),
    // Memory that sessions share for a query is in files of the cluster, which go with its directory: a server that is killed
    // leaves no other behind, and what a container has of POSIX shared memory may be less than one query needs.
    ("dynamic_shared_memory_type", "mmap"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    // Tests violate constraints on purpose: logged, the violations would fill the disk and cost time.
    ("log_min_messages", "log"),
    ("log_checkpoints", "off"),
];

/// A running private server. Dropping it ends the server soon after; [`Cluster::stop`] waits for it.
#[derive(Debug)]
pub(crate) struct Cluster {
    server: Supervised,
    /// The way in: its own user, into a database that nothing is written to.
    pub(crate) admin_options: PgConnectOptions,
    /// Whom clones belong to.
    pub(crate) app: Owner,
}

impl Cluster {
    /// Starts a server on a copy of the cluster that was prepared for this template, which is made first if it is not
    /// there.
    pub(crate) async fn obtain(
        area: &Area,
        binaries: &Binaries,
        template: &Template,
        progress: Progress<'_>,
    ) -> Result<Self, PostgresError> {
        // Servers of one version may still be built to read different files.
        let key = hash((&template.key, &binaries.version, &binaries.dir, INITDB, OWNER, area.project));
        let name = format!("{}-{key:016x}", binaries.version);
        let prepared = Prepared::open(area)?;
        let found = prepared.cluster(&name).exists();
        let from_prepared = async |anew: bool| {
            let run = prepared.new_run(&name).await?;
            let place = run.place().to_path_buf();
            let cluster = async {
                let run = copy_prepared(&prepared, run, &name, anew, binaries, template, progress).await?;
                prepared.prune(&run);
                Self::start(run, binaries, area).await
            };
            cluster.await.map_err(|error| explain(area, &place, error))
        };
        match from_prepared(false).await {
            // Whoever copies the home may lose owners, rights or empty directories on the way.
            Err(PostgresError::Start { .. }) if found => {
                progress("the prepared cluster does not start and is made anew");
                from_prepared(true).await
            }
            cluster => cluster,
        }
    }

    /// Names this server among all of this home.
    pub(crate) fn run_id(&self) -> String {
        self.server.run().id()
    }

    async fn start(mut run: Run, binaries: &Binaries, area: &Area) -> Result<Self, PostgresError> {
        let mut attempt = 1;
        loop {
            match Self::start_once(run, binaries, area).await {
                Ok(cluster) => return Ok(cluster),
                Err((PostgresError::Start { log, .. }, Some(back)))
                    if attempt < PORT_ATTEMPTS && log.contains("could not bind") =>
                {
                    run = back;
                    attempt += 1;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Gives the run back when the server was there and did not start.
    async fn start_once(
        run: Run,
        binaries: &Binaries,
        area: &Area,
    ) -> Result<Self, (PostgresError, Option<Run>)> {
        let read = |file| fs::read_to_string(cluster_of(&run).join(file));
        let prepared = read("password").and_then(|password| {
            let app = Owner { name: app(area.project), password: read("app-password")? };
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            Ok((password, app, port))
        });
        let (password, app, port) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err((area.io(&run.dir, error).into(), None)),
        };
        let name = format!("{}-{}", area.project.name(), run.id());

        let mut command_line: Vec<OsString> =
            vec![binaries.dir.join("postgres").into(), "-D".into(), cluster_of(&run).join("data").into()];
        let mut set = |setting: &str, value: &str| {
            command_line.extend(["-c".into(), format!("{setting}={value}").into()]);
        };
        for (setting, value) in SETTINGS {
            set(setting, value);
        }
        set("port", &port.to_string());
        set("cluster_name", &name);
        let server = Supervised::start(run, &command_line).map_err(|error| (error.into(), None))?;

        let admin_options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username(user(area.project))
            .password(&password)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable);
        let cluster = Self { server, admin_options, app };
        match cluster.wait_until_ready(&name).await {
            Ok(()) => Ok(cluster),
            Err(reason) => {
                let log = cluster.server.last_words(12);
                // Before the run's directory goes, and with it the reason.
                let error = PostgresError::Start { reason, log, project: area.project };
                let error = explain(area, cluster.server.run().place(), error);
                Err((error, Some(cluster.halt().await)))
            }
        }
    }

    async fn wait_until_ready(&self, name: &str) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(status) = self.server.ended() {
                return Err(status);
            }
            let answer =
                tokio::time::timeout(Duration::from_secs(5), cluster_name(&self.admin_options)).await;
            let answer = answer.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            match answer {
                // Somebody else's server, had it taken the port, would have another name.
                Ok(answer) if answer == name => return Ok(()),
                Ok(answer) if Instant::now() > deadline => {
                    return Err(format!("its port belongs to another server, {answer:?}"));
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("no answer within {} s: {error}", START_DEADLINE.as_secs()));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Stops the server in good order, so that its files are complete, and keeps them.
    async fn halt(self) -> Run {
        // Fast shutdown: it ends the sessions, then writes a checkpoint.
        self.server.halt(Signal::INT).await
    }

    /// Ends the server, and returns when it is gone and its files with it.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    /// Resolves when the server has ended although nobody asked it to.
    pub(crate) async fn lost(&self) -> PostgresError {
        let reason = self.server.lost().await;
        PostgresError::Lost { reason, log: self.server.last_words(6) }
    }
}

/// The cluster of a run: `data` (PostgreSQL's data directory) and the passwords.
pub(crate) fn cluster_of(run: &Run) -> PathBuf {
    run.dir.join("cluster")
}

/// Puts a copy of the prepared cluster into the run's directory, making the prepared one first where it is missing or not
/// to be trusted.
async fn copy_prepared(
    clusters: &Prepared<'_>,
    mut run: Run,
    name: &str,
    anew: bool,
    binaries: &Binaries,
    template: &Template,
    progress: Progress<'_>,
) -> Result<Run, PostgresError> {
    let area = clusters.area;
    let prepared = clusters.cluster(name);
    let mut lock = area.lock(name, Sharing::WithReaders).await?;
    if anew || !prepared.exists() {
        drop(lock);
        lock = area.lock(name, Sharing::Alone).await?;
    }
    if anew {
        clusters.discard(name, &run);
    }
    if !prepared.exists() {
        progress(&format!("preparing PostgreSQL {}, once for this template", binaries.version));
        area.check_room(&clusters.dir)?;
        run = prepare(area, run, binaries, template).await?;
        clusters.keep(&run, name).await?;
    }
    // The time of the last use decides which prepared clusters are kept.
    lock.set_modified(SystemTime::now()).map_err(|error| area.io(&prepared, error))?;
    // What was prepared in memory is still there.
    if !cluster_of(&run).exists() {
        clusters.copy(&prepared, &cluster_of(&run)).await?;
    }
    Ok(run)
}

/// Makes a cluster with the template in it, complete and at rest, in the run's directory.
async fn prepare(
    area: &Area,
    run: Run,
    binaries: &Binaries,
    template: &Template,
) -> Result<Run, PostgresError> {
    let mut initdb = area.user.command("/bin/sh");
    initdb.args(["-c", INITDB, "sh"]).arg(cluster_of(&run)).arg(&binaries.dir).arg(user(area.project));
    initdb.arg(if binaries.major() >= 16 { "--set=scram_iterations=1" } else { "" });
    initdb.env("PASSWORD", format!("{:032x}", rand::random::<u128>()));
    initdb.env("APP_PASSWORD", Owner::new(app(area.project)).password);
    let failed = |reason| PostgresError::Program { program: "initdb".into(), reason, project: area.project };
    output(initdb).await.map_err(failed)?;

    let cluster = Cluster::start(run, binaries, area).await?;
    let built = build(area.project, &cluster, template).await;
    // Before the run's directory goes, and with it the reason.
    let built = built.map_err(|error| explain(area, cluster.server.run().place(), error));
    let run = cluster.halt().await;
    built.map(|()| run)
}

/// Fills the template, with the role in place to which its clones will belong.
async fn build(project: Project, cluster: &Cluster, template: &Template) -> Result<(), PostgresError> {
    let mut admin = connect(&cluster.admin_options).await?;
    cluster.app.create(&mut admin).await?;
    // The app has its clones, and nothing to do elsewhere.
    execute(&mut admin, "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC".into()).await?;
    let _ = admin.close().await;
    let unfinished = format!("{}_unfinished", project.name());
    template.build(&cluster.admin_options, &unfinished, &template_name(project)).await
}

async fn cluster_name(admin_options: &PgConnectOptions) -> Result<String, sqlx::Error> {
    let mut connection = admin_options.connect().await?;
    let name =
        sqlx::query_scalar("SELECT current_setting('cluster_name')").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(name)
}

/// Frees the segment of System V's shared memory that a killed server left. PostgreSQL keeps a few bytes there, by which it
/// notices sessions of a server that is gone, and only the server itself removes it.
fn shared_memory(run: &Path) -> Option<Vec<String>> {
    let written = fs::read_to_string(run.join(POSTGRES.pid_file)).ok()?;
    let mut lines = written.lines();
    let server = lines.next()?.trim();
    let mut named = lines.nth(5)?.split_ascii_whitespace();
    let (key, id) = (named.next()?.parse::<u64>().ok()?, named.next()?);
    // After a reboot the number may be another program's: it must have the key, and have been made by that process.
    let segments = fs::read_to_string("/proc/sysvipc/shm").ok()?;
    let is_ours = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // The same 32 bits, which one of the two writes with a sign.
        let has_key = fields.first().and_then(|field| field.parse::<i32>().ok()) == Some(key as i32);
        has_key && fields.get(1) == Some(&id) && fields.get(4) == Some(&server)
    };
    segments.lines().any(is_ours).then(|| vec!["ipcrm".into(), "-m".into(), id.to_owned()])
}
