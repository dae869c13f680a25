//! A private server: its cluster, made once and copied, and the process that runs it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Signal, kill_process};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use crate::binaries::Binaries;
use crate::home::{Area, POLL, Run, STOP_DEADLINE, Sharing, hash};
use crate::process::{last_lines, output};
use crate::template::{OWNER, Owner, Template, connect, execute};
use crate::{PostgresError, Progress, Project};

/// How long a server may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two looks at a server that should be running.
const LOOK: Duration = Duration::from_millis(100);

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

/// Run by `sh` beside each server, so that the server ends when its owner does, in whatever way.
const SUPERVISOR: &str = include_str!("supervisor.sh");

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
    run: Run,
    supervisor: Mutex<Child>,
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
        let found = area.prepared_cluster(&name).exists();
        let from_prepared = async |anew: bool| {
            let run = area.new_run(&area.prepared_cluster(&name)).await?;
            let place = run.place().to_path_buf();
            let cluster = async {
                let run = copy_prepared(area, run, &name, anew, binaries, template, progress).await?;
                area.prune_prepared(&run);
                Self::start(run, binaries, area).await
            };
            cluster.await.map_err(|error| area.explain(&place, error))
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
        self.run.id()
    }

    async fn start(mut run: Run, binaries: &Binaries, area: &Area) -> Result<Self, PostgresError> {
        let mut attempt = 1;
        loop {
            match Self::start_once(run, binaries, area).await {
                Ok(cluster) => return Ok(cluster),
                Err((PostgresError::Start { log, .. }, back))
                    if attempt < PORT_ATTEMPTS && log.contains("could not bind") =>
                {
                    run = back;
                    attempt += 1;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Gives the run back when the server did not start.
    async fn start_once(
        mut run: Run,
        binaries: &Binaries,
        area: &Area,
    ) -> Result<Self, (PostgresError, Run)> {
        let read = |file| fs::read_to_string(run.cluster().join(file));
        let prepared = read("password").and_then(|password| {
            let app = Owner { name: app(area.project), password: read("app-password")? };
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            Ok((password, app, port, run.lock.try_clone()?))
        });
        let (password, app, port, lock) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err((area.io(&run.dir, error), run)),
        };
        let name = format!("{}-{}", area.project.name(), run.id());

        let mut command = area.user.command("/bin/sh");
        command
            .args(["-c", SUPERVISOR, &format!("{}-postgres", area.project.name())])
            .arg(&run.dir)
            .arg(run.lock_file());
        command.arg(binaries.dir.join("postgres")).arg("-D").arg(run.cluster().join("data"));
        for (setting, value) in SETTINGS {
            command.arg("-c").arg(format!("{setting}={value}"));
        }
        command.arg("-c").arg(format!("port={port}")).arg("-c").arg(format!("cluster_name={name}"));
        command.stdin(Stdio::piped()).stdout(lock).stderr(Stdio::null());
        // A process group of its own: Ctrl-C in the terminal is not for the server.
        command.process_group(0);
        let supervisor = match command.spawn() {
            Ok(supervisor) => supervisor,
            Err(error) => {
                let (program, reason) = ("/bin/sh".into(), error.to_string());
                return Err((PostgresError::Program { program, reason, project: area.project }, run));
            }
        };
        run.supervised = true;

        let admin_options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username(user(area.project))
            .password(&password)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable);
        let mut cluster = Self { run, supervisor: Mutex::new(supervisor), admin_options, app };
        match cluster.wait_until_ready(&name).await {
            Ok(()) => Ok(cluster),
            Err(reason) => {
                let log = fs::read_to_string(cluster.run.log()).unwrap_or_default();
                let log = last_lines(&log, 12);
                // Before the run's directory goes, and with it the reason.
                let error = PostgresError::Start { reason, log, project: area.project };
                let error = area.explain(cluster.run.place(), error);
                Err((error, cluster.halt().await))
            }
        }
    }

    async fn wait_until_ready(&mut self, name: &str) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(status) = self.ended() {
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
    async fn halt(mut self) -> Run {
        if let Some(server) = self.run.server() {
            // Fast shutdown: it ends the sessions, then writes a checkpoint.
            let _ = kill_process(server, Signal::INT);
        }
        self.supervisor_ended().await;
        self.run.supervised = false;
        self.run
    }

    /// Ends the server, and returns when it is gone and its files with it.
    pub(crate) async fn stop(mut self) {
        drop(self.supervisor().stdin.take());
        self.supervisor_ended().await;
        // There is something left to do if the supervisor was killed.
        self.run.remove().await;
    }

    /// Resolves when the server has ended although nobody asked it to.
    pub(crate) async fn lost(&self) -> PostgresError {
        let reason = loop {
            match self.ended() {
                // It may be the supervisor alone that somebody killed.
                Some(reason) if self.run.server().is_none() => break reason,
                _ => tokio::time::sleep(LOOK).await,
            }
        };
        let log = fs::read_to_string(self.run.log()).unwrap_or_default();
        PostgresError::Lost { reason, log: last_lines(&log, 6) }
    }

    fn supervisor(&self) -> MutexGuard<'_, Child> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the supervisor has ended, and in most cases its server before it.
    fn ended(&self) -> Option<String> {
        let status = self.supervisor().try_wait().ok().flatten()?;
        Some(match status.code() {
            // The shell's way to tell of a signal.
            Some(code @ 129..) => format!("signal {} ended it", code - 128),
            _ => format!("it ended with {status}"),
        })
    }

    async fn supervisor_ended(&mut self) {
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                let _ = self.supervisor().kill();
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Puts a copy of the prepared cluster into the run's directory, making the prepared one first where it is missing or not
/// to be trusted.
async fn copy_prepared(
    area: &Area,
    mut run: Run,
    name: &str,
    anew: bool,
    binaries: &Binaries,
    template: &Template,
    progress: Progress<'_>,
) -> Result<Run, PostgresError> {
    let prepared = area.prepared_cluster(name);
    let mut lock = area.lock(name, Sharing::WithReaders).await?;
    if anew || !prepared.exists() {
        drop(lock);
        lock = area.lock(name, Sharing::Alone).await?;
    }
    if anew {
        area.discard_prepared(name, &run);
    }
    if !prepared.exists() {
        progress(&format!("preparing PostgreSQL {}, once for this template", binaries.version));
        area.check_room(prepared.parent().unwrap_or(&prepared))?;
        run = prepare(area, run, binaries, template).await?;
        area.keep_prepared(&run, &prepared).await?;
    }
    // The time of the last use decides which prepared clusters are kept.
    lock.set_modified(SystemTime::now()).map_err(|error| area.io(&prepared, error))?;
    // What was prepared in memory is still there.
    if !run.cluster().exists() {
        area.copy(&prepared, &run.cluster()).await?;
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
    initdb.args(["-c", INITDB, "sh"]).arg(run.cluster()).arg(&binaries.dir).arg(user(area.project));
    initdb.arg(if binaries.major() >= 16 { "--set=scram_iterations=1" } else { "" });
    initdb.env("PASSWORD", format!("{:032x}", rand::random::<u128>()));
    initdb.env("APP_PASSWORD", Owner::new(app(area.project)).password);
    let failed = |reason| PostgresError::Program { program: "initdb".into(), reason, project: area.project };
    output(initdb).await.map_err(failed)?;

    let cluster = Cluster::start(run, binaries, area).await?;
    let built = build(area.project, &cluster, template).await;
    // Before the run's directory goes, and with it the reason.
    let built = built.map_err(|error| area.explain(cluster.run.place(), error));
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
