//! The command as a user meets it: what it says to bad input, how it ends, and what it leaves behind.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Path as Parts, Request};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use loadtests::results::Results;
use rustix::process::{Pid, Signal, kill_process};
use scratch_postgres::{Options, Postgres};
use serde_json::{Value, json};
use target_app::PROJECT;
use target_app::catalogue::{CheckKind, Exercise};
use target_app::exercises::oversold_stock::EXERCISE;
use target_app::exercises::{EXERCISES, TOUR};
use target_app::seed::{self, Scale};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Far longer than anything here takes; a command that hangs fails its test.
const DEADLINE: Duration = Duration::from_secs(60);

pub fn skip(name: &str, why: &str) {
    assert!(
        std::env::var("STAMPEDE_REQUIRE").as_deref() != Ok("all"),
        "{name} could not run, and STAMPEDE_REQUIRE=all: {why}"
    );
    #[expect(
        clippy::explicit_write,
        reason = "the test harness hides what `eprintln!` says in a test that passes"
    )]
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").unwrap();
}

/// The command with these arguments, as typed by somebody who has set nothing up.
fn stampede(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stampede"));
    command
        .args(arguments)
        .env_remove("DATABASE_URL")
        // As in a slim container, which has no root certificates.
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// How a command ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

async fn ended(command: &mut Command) -> Said {
    let child = command.spawn().expect("the command starts");
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
    let output = output.expect("it ends").expect("its output");
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Said {
    /// Asserts an error with this code that says all of these, in the form that all errors have.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let (error, hint) = self.stderr.split_once("\n\nhint: ").unwrap_or_else(|| panic!("{self:#?}"));
        assert!(error.starts_with("error: ") || error.contains("\nerror: "), "{self:#?}");
        assert!(!hint.trim().is_empty() && !self.stderr.contains("panicked"), "{self:#?}");
        assert!(!self.stderr.contains('\x1b') && !self.stdout.contains('\x1b'), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "'{word}' is missing: {self:#?}");
        }
    }
}

/// Waits for something that another process does, and fails if it does not.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processes that are running, as `(id, parent, command line)`.
fn processes() -> Vec<(u32, u32, String)> {
    let said =
        std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat=,args="]).output().expect("ps");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let parsed = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        // A zombie is over; whoever inherited it has only not looked yet.
        let running = !words.next()?.starts_with('Z');
        running.then(|| (pid, parent, words.collect::<Vec<_>>().join(" ")))
    });
    parsed.collect()
}

/// Children of `root`, their children, and so on.
fn descendants(root: u32) -> Vec<(u32, String)> {
    let all = processes();
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, _, name) in all.iter().filter(|(_, of, _)| *of == parent) {
            parents.push(*pid);
            found.push((*pid, name.clone()));
        }
    }
    found
}

async fn all_gone(those: &[(u32, String)]) {
    eventually("its processes are gone", || {
        let running = processes();
        // The command line as well, because ids are used again.
        !those.iter().any(|(pid, name)| running.iter().any(|(other, _, its)| other == pid && its == name))
    })
    .await;
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().expect("it is running") as i32;
    kill_process(Pid::from_raw(pid).expect("an id"), signal).expect("it can be signalled");
}

fn args<'a>(before: &[&'a str], out: &'a Path) -> Vec<&'a str> {
    [before, &["--out", out.to_str().expect("a path in UTF-8")]].concat()
}

fn results(dir: &Path) -> Results {
    let text = fs::read_to_string(dir.join("results.json")).expect("results");
    serde_json::from_str(&text).expect("results can be read back")
}

#[tokio::test]
async fn what_is_typed_wrongly_is_named_with_the_remedy() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["compare", "oversold-stok"], &["'oversold-stok'", "did you mean oversold-stock"]),
        (&["compare", "zzz"], &["'zzz'", "the names are: oversold-stock, slow-order-list"]),
        (&["check", "frozen-helth"], &["'frozen-helth'", "did you mean frozen-health"]),
        (&["run", "oversold-stock", "--variant", "row-lok"], &["'row-lok'", "did you mean row-lock"]),
        (&["run", "oversold-stock"], &["--variant", "--help"]),
        (&["diff", "zzz"], &["'zzz'", "oversold-stock"]),
        (&["diff", "oversold-stock", "bugy"], &["'bugy'", "did you mean buggy"]),
        (&["diff", "oversold-stock", "buggy", "fixd"], &["'fixd'", "did you mean fixed"]),
        (
            &["serve", "--variant", "oversold-stock"],
            &["'oversold-stock'", "ID=NAME", "oversold-stock=row-lock"],
        ),
        (&["serve", "--variant", "oversold-stock=row-lok"], &["'row-lok'", "row-lock"]),
        (
            &["serve", "--variant", "oversold-stock=row-lock", "--variant", "oversold-stock=fixed"],
            &["'oversold-stock=row-lock'", "'oversold-stock=fixed'", "one"],
        ),
        (&["compare", "--rate", "0"], &["'0'", "--rate", "100000"]),
        (&["compare", "--rate", "-5"], &["'-5'", "--rate", "more than 0"]),
        (&["compare", "--rate", "1e9"], &["'1e9'", "at most 100000"]),
        (&["compare", "--rate", "NaN"], &["'NaN'", "--rate"]),
        (&["compare", "--rate", "lots"], &["'lots'", "such as 200"]),
        (&["compare", "--rate", "100000", "--duration", "1h"], &["--rate", "--duration", "1000000 requests"]),
        // Without --rate as well: its reports are as many as the processors can take.
        (&["compare", "frozen-health", "--duration", "1h"], &["frozen-health", "1000000 requests"]),
        (&["compare", "--duration", "0s"], &["'0s'", "between 1s and 1h"]),
        (&["compare", "--duration", "10h"], &["'10h'", "between 1s and 1h"]),
        (&["compare", "--duration", "soon"], &["'soon'", "5s"]),
        (&["compare", "--duration", "-5s"], &["'-5s'", "--duration", "such as 5s"]),
        (&["compare", "--duration", "--quick"], &["'--quick'", "--duration", "such as 5s"]),
        (&["compare", "--rounds", "0"], &["'0'", "--rounds", "from 1 to 100"]),
        (&["compare", "--rounds", "-1"], &["'-1'", "--rounds", "from 1 to 100"]),
        (&["compare", "--rounds", "-5s"], &["'-5s'", "--rounds", "from 1 to 100"]),
        (&["compare", "--db-rtt", "-1ms"], &["'-1ms'", "--db-rtt", "such as 500us"]),
        (&["compare", "--scale", "-1"], &["'-1'", "--scale", "medium"]),
        (&["compare", "--out", "-x"], &["'-x'", "--out", "./-name"]),
        (&["serve", "--all", "-x"], &["'-x'", "--all", "buggy"]),
        (&["serve", "--variant", "-x"], &["'-x'", "ID=NAME"]),
        (&["run", "oversold-stock", "--variant", "-x"], &["'-x'", "the names are: buggy"]),
        (&["check", "oversold-stock", "--url", "-x"], &["'-x'", "--url", "http://127.0.0.1:3000"]),
        (&["compare", "slow-analytics", "frozen-health", "--closed"], &["frozen-health", "--closed"]),
        // The tour and all exercises have one that needs its schedule.
        (&["compare", "--closed"], &["frozen-health", "--closed"]),
        (&["compare", "--all", "--closed"], &["frozen-health", "--closed"]),
        (&["compare", "--all", "oversold-stock"], &["'--all'", "'[ID]...'", "cannot be used with"]),
        (&["compare", "oversold-stock", "--all"], &["'--all'", "'[ID]...'", "cannot be used with"]),
        (&["compare", "--seed", "lucky"], &["'lucky'", "whole number"]),
        (&["compare", "--seed", "-1"], &["'-1'", "--seed", "whole number"]),
        (&["compare", "--db-rtt", "10s"], &["'10s'", "at most 1s"]),
        (&["compare", "--quick", "--rounds", "3"], &["--quick", "--rounds"]),
        (&["compare", "--metrics-port", "65536"], &["'65536'", "--metrics-port"]),
        (&["compare", "--replicas", "99"], &["'99'", "--replicas"]),
        (&["serve", "--port", "65535", "--replicas", "2"], &["--port 65535", "65535 is the last"]),
        (&["serve", "--port", "65536"], &["'65536'", "--port", "65535"]),
        (
            &["serve", "--port", "4000", "--operator-port", "4000"],
            &["--port", "--operator-port", "both name port 4000"],
        ),
        (
            &["serve", "--port", "4000", "--operator-port", "4001", "--replicas", "2"],
            &["--port 4000", "--operator-port 4001", "2 servers", "port 4001 twice"],
        ),
        (
            &["check", "oversold-stock", "--url", "http://127.0.0.1:4000", "--metrics-port", "4000"],
            &["--url", "--metrics-port", "both name port 4000"],
        ),
        (
            &["check", "oversold-stock", "--url", "https://example.com"],
            &["https://example.com", "http://127.0.0.1:3000"],
        ),
        (&["check", "oversold-stock", "--url", "nonsense"], &["'nonsense'", "http://127.0.0.1:3000"]),
        (&["check", "oversold-stock", "--url", "http://127.0.0.1:3000/shop"], &["/shop", "path"]),
        (&["check", "oversold-stock", "--url", "http://me:secret@127.0.0.1:3000"], &["a password"]),
        (
            &["check", "oversold-stock", "--url", "http://127.0.0.1:3000", "--scale", "large"],
            &["--url", "--scale"],
        ),
        (
            &["check", "double-charge", "--url", "http://127.0.0.1:3000"],
            &["double-charge needs the simulated providers", "stampede serve", "--providers"],
        ),
        (
            &[
                "check",
                "oversold-stock",
                "--url",
                "http://127.0.0.1:3000",
                "--providers",
                "http://127.0.0.1:4000",
            ],
            &["no providers in oversold-stock", "leave out --providers"],
        ),
        (&["check", "double-charge", "--providers", "http://127.0.0.1:4000"], &["--url"]),
        (&["new", "Slow-Thing"], &["'Slow-Thing'", "lower-case words", "such as slow-order-list"]),
        (&["new", "slow_thing"], &["'slow_thing'", "joined by hyphens"]),
        (&["new", "slow--thing"], &["'slow--thing'", "joined by hyphens"]),
        (&["new", "500-slowly"], &["'500-slowly'", "such as slow-order-list"]),
        (&["new", "../thing"], &["'../thing'", "joined by hyphens"]),
        (&["new", "-slow"], &["'-s'", "--help"]),
        (&["new", "type"], &["'type'", "one word is no symptom", "such as slow-order-list"]),
        (&["new", "slow-thing-that-is-named-too-long"], &["at most 30 characters", "has 33"]),
        (&["new", "slow-thing", "--route", "/things"], &["'/things'", "--route", "'GET /orders/{userId}'"]),
        (&["new", "slow-thing", "--route", "get /things"], &["'get /things'", "'GET /orders/{userId}'"]),
        (&["new", "slow-thing", "--route", "GET /a\"b"], &["--route", "'GET /orders/{userId}'"]),
        (&["new"], &["<ID>", "--help"]),
        (&["frobnicate"], &["'frobnicate'", "--help"]),
    ];
    for (arguments, words) in cases {
        ended(&mut stampede(arguments)).await.fails(2, words);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_before_anything_starts() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    ended(&mut stampede(&["serve", "--port", &port])).await.fails(2, &[&port, "--port", "choose another"]);
    let said = ended(&mut stampede(&["serve", "--port", "0", "--operator-port", &port])).await;
    said.fails(2, &[&port, "--operator-port", "choose another"]);
    let said = ended(&mut stampede(&["compare", "--quick", "--metrics-port", &port])).await;
    said.fails(2, &[&port, "--metrics-port", "choose another"]);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_ends_the_run_with_3() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let unreachable = format!("postgres://me:secret@{free}/postgres");
    for (url, word) in
        [(unreachable.as_str(), "unset DATABASE_URL"), ("mysql://me:secret@db", "postgres://user")]
    {
        for command in [&["serve", "--port", "0"][..], &["compare", "--quick"]] {
            let out = tempfile::tempdir().unwrap();
            let arguments =
                if command[0] == "compare" { args(command, out.path()) } else { command.to_vec() };
            let said = ended(stampede(&arguments).env("DATABASE_URL", url)).await;
            said.fails(3, &["DATABASE_URL", word]);
            assert!(!said.stderr.contains("secret"), "{said:?}");
        }
    }
}

#[tokio::test]
async fn databases_are_seeded_on_a_server_that_keeps_them() {
    ended(&mut stampede(&["seed", "shop"])).await.fails(2, &["no database server", "DATABASE_URL"]);
    ended(&mut stampede(&["seed", "my-shop"])).await.fails(2, &["my-shop", "at most 63"]);
    ended(&mut stampede(&["seed", "stampede_run_1"])).await.fails(2, &["stampede_run_ are the lab's own"]);

    let options = Options { database_url: None, ..Options::from_env(PROJECT) };
    let template = seed::template(Scale::Small, 42);
    let private = Postgres::obtain(&options, &template, &|_| ()).await.expect("PostgreSQL");
    let database = private.create_database().await.expect("a database of the run");
    assert!(database.name().starts_with("stampede_run_"), "{}", database.name());
    assert_eq!(database.connect_options().get_username(), "stampede_app");
    // Not the run's database: the next run on this server removes it.
    let admin_url = database.admin_url().replace(database.name(), "postgres");
    for word in ["created", "already exists"] {
        let said = ended(stampede(&["seed", "shop_a", "shop_b"]).env("DATABASE_URL", &admin_url)).await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        assert_eq!(said.stdout.matches(word).count(), 2, "{said:#?}");
    }
    let admin_url = admin_url.replace("sslmode=disable", "sslmode=require");
    let said = ended(stampede(&["seed", "shop_c"]).env("DATABASE_URL", &admin_url)).await;
    said.fails(3, &["DATABASE_URL", "Stampede speaks plain connections only", "use sslmode=disable"]);
    private.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_probe_ends_with_0_only_when_the_answer_is_a_success() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .route("/health", get(async || "ok"))
        .route("/ready", get(async || StatusCode::SERVICE_UNAVAILABLE));
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    let probe = async |path: &str| ended(&mut stampede(&["probe", &format!("http://{address}{path}")])).await;
    assert_eq!(probe("/health").await.code, Some(0));
    let said = probe("/ready").await;
    assert!(said.code == Some(1) && said.stderr.contains("503"), "{said:#?}");
    server.abort();
    let _ = server.await;
    let said = probe("/health").await;
    assert!(said.code == Some(1) && said.stderr.contains("nothing answers"), "{said:#?}");
}

#[tokio::test]
async fn without_any_postgres_the_remedies_are_named() {
    let home = open_directory();
    let mut command = stampede(&["serve", "--port", "0"]);
    // Neither pip nor npm; as root, the lab asks `id` for a user to run the server as.
    let tools = open_directory();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let id = std::env::split_paths(&path).map(|dir| dir.join("id")).find(|id| id.is_file()).expect("id");
    std::os::unix::fs::symlink(id, tools.path().join("id")).unwrap();
    command
        .env("PATH", tools.path())
        .env("STAMPEDE_POSTGRES_BIN", "portable")
        .env("STAMPEDE_HOME", home.path());
    let said = ended(&mut command).await;
    said.fails(3, &["pip: not in PATH", "npm: not in PATH", "apt install postgresql", "DATABASE_URL"]);
}

/// A directory that the user of a private server can look into, too.
fn open_directory() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

#[tokio::test]
async fn a_place_that_cannot_be_written_to_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("below");
    let said = ended(&mut stampede(&args(&["compare", "--quick"], &below))).await;
    said.fails(3, &[below.to_str().unwrap(), "--out"]);
    let said = ended(stampede(&["compare", "--quick"]).env("STAMPEDE_HOME", &below)).await;
    said.fails(3, &[below.to_str().unwrap(), "STAMPEDE_HOME"]);
    let said = ended(stampede(&["serve", "--port", "0"]).env("STAMPEDE_HOME", &below)).await;
    said.fails(3, &[below.to_str().unwrap(), "STAMPEDE_HOME"]);
}

/// A database that nobody has: a command that got so far has accepted everything else.
const NO_DATABASE: &str = "postgres://me:secret@127.0.0.1:1/postgres";

async fn compared_into(out: &Path) -> Said {
    ended(stampede(&args(&["compare", "--quick"], out)).env("DATABASE_URL", NO_DATABASE)).await
}

#[tokio::test]
async fn results_are_not_put_among_what_no_run_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let refused = async |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        compared_into(dir.path())
            .await
            .fails(2, &["--out", dir.path().to_str().unwrap(), name, "new, empty"]);
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::remove_file(dir.path().join(name)).unwrap();
    };
    for name in ["notes.txt", "results.json", "report.html", "summary.md", "junit.xml", "logs"] {
        refused(name, "mine").await;
    }
    fs::create_dir(dir.path().join("logs")).unwrap();
    fs::write(dir.path().join("logs/syslog"), "").unwrap();
    compared_into(dir.path()).await.fails(2, &["--out", "logs"]);
    compared_into(Path::new("/")).await.fails(2, &["--out /", "--out /stampede"]);
}

#[tokio::test]
async fn results_are_put_where_an_earlier_run_left_its_own() {
    let dir = tempfile::tempdir().unwrap();
    // Empty, and so it stays, since it was there.
    compared_into(dir.path()).await.fails(3, &["DATABASE_URL"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // What a run leaves that was killed, or ended before it had measured anything.
    fs::create_dir(dir.path().join("logs")).unwrap();
    fs::write(dir.path().join("logs/server-oversold-stock-fixed-1-0.log"), "its last words").unwrap();
    fs::write(dir.path().join(".results.json.77.tmp"), "").unwrap();
    compared_into(dir.path()).await.fails(3, &["DATABASE_URL"]);

    let whole = tempfile::tempdir().unwrap();
    let (_served, url) = without_analytics().await;
    let check = args(&["check", "slow-analytics", "--url", &url], whole.path());
    assert!(matches!(ended(&mut stampede(&check)).await.code, Some(1 | 3)));
    // Each of the reports is enough to tell, and a file beside them is left alone.
    fs::write(whole.path().join("notes.txt"), "mine").unwrap();
    for report in ["results.json", "report.html", "summary.md", "junit.xml"] {
        compared_into(whole.path()).await.fails(3, &["DATABASE_URL"]);
        fs::remove_file(whole.path().join(report)).unwrap();
    }
    compared_into(whole.path()).await.fails(2, &["notes.txt"]);
    assert_eq!(fs::read_to_string(whole.path().join("notes.txt")).unwrap(), "mine");
}

/// A file system in memory with little room, unmounted at the end.
struct FullDisk(TempDir);

impl FullDisk {
    /// With room for so many pages of 4096 bytes. `None` where this user may not mount one.
    fn mount(room: usize) -> Option<Self> {
        let dir = open_directory();
        let mut mount = std::process::Command::new("mount");
        // 0 pages would be as many as there are.
        let size = format!("size={}k,mode=755", 4 * (room + 1));
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path());
        mount.output().ok()?.status.success().then_some(())?;
        let disk = Self(dir);
        fs::write(disk.0.path().join("filling"), [0; 4096]).ok()?;
        Some(disk)
    }

    /// A directory for results.
    fn out(&self) -> PathBuf {
        let out = self.0.path().join("run");
        fs::create_dir(&out).unwrap();
        out
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_costs_the_files_and_not_what_was_measured() {
    let Some(disk) = FullDisk::mount(0) else {
        return skip("a_full_disk_costs_the_files_and_not_what_was_measured", "mounting a tmpfs needs root");
    };
    let out = disk.out();
    let run = ["run", "oversold-stock", "--variant", "fixed", "--quick"];
    let said = ended(&mut stampede(&args(&run, &out))).await;
    said.fails(3, &["no space left on", out.to_str().unwrap(), "free some room", "--out"]);
    assert!(said.stdout.contains("oversold-stock"), "the table is printed: {said:#?}");
    assert!(!out.join("results.json").exists(), "nothing half-written");
}

#[tokio::test]
async fn a_disk_with_little_room_gets_what_fits_and_keeps_what_it_has() {
    // Four pages: one for what is there, one for each of the small reports, one for a part of a large one.
    let Some(disk) = FullDisk::mount(4) else {
        return skip(
            "a_disk_with_little_room_gets_what_fits_and_keeps_what_it_has",
            "mounting a tmpfs needs root",
        );
    };
    let out = disk.out();
    let earlier = r#"{ "stampede": "0.1.0" }"#;
    fs::write(out.join("results.json"), earlier).unwrap();
    let served = Served::start(&[]).await;
    let said = ended(&mut stampede(&args(&["check", "slow-analytics", "--url", &served.url], &out))).await;
    said.fails(3, &["no space left on", out.to_str().unwrap(), "results.json"]);
    assert!(said.stdout.contains("slow-analytics"), "the table is printed: {said:#?}");
    assert_eq!(fs::read_to_string(out.join("results.json")).unwrap(), earlier);
    for (report, words) in [("summary.md", "## Stampede: "), ("junit.xml", "</testsuites>")] {
        assert!(fs::read_to_string(out.join(report)).unwrap().contains(words), "{report}");
    }
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[tokio::test]
async fn the_list_is_there_for_scripts_too_and_gives_nothing_away() {
    let said = ended(&mut stampede(&["list", "--json"])).await;
    let list: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), EXERCISES.len());
    for (listed, exercise) in list.iter().zip(EXERCISES) {
        assert_eq!(listed["id"], exercise.id);
        assert_eq!(listed["variants"][0]["must_fail"][0], exercise.variants[0].must_fail[0]);
        assert_eq!(listed["checks"].as_array().map(Vec::len), Some(exercise.checks.len()));
        assert!(!said.stdout.contains(exercise.cause));
    }
}

#[tokio::test]
async fn what_nobody_reads_or_sees_in_colour_is_no_error() {
    let mut closed = stampede(&["list"]).spawn().unwrap();
    drop(closed.stdout.take());
    assert!(closed.wait().await.unwrap().success());

    for command in [&["list"][..], &["diff", "oversold-stock"], &["--help"], &["compare", "--help"]] {
        for no_color in ["", "1"] {
            let said = ended(stampede(command).env("NO_COLOR", no_color)).await;
            assert_eq!(said.code, Some(0), "{said:#?}");
            assert!(!said.stdout.contains('\x1b') && !said.stderr.contains('\x1b'), "{said:#?}");
        }
    }
}

/// Two rounds of `check slow-analytics`, into a disk that has room for the results and for nothing else, or, when it `fills`,
/// is full when the second round begins. `None` where this user may not mount one.
async fn checked_on_a_small_disk(fills: bool) -> Option<(Said, FullDisk)> {
    let disk = FullDisk::mount(200)?;
    let (out, filling) = (disk.out(), disk.0.path().join("filling"));
    let served = Served::start(&[]).await;
    let url = gone_in_round(if fills { 2 } else { u32::MAX }, &served.url, move || {
        // Ends with an error, as it should.
        let _ = fs::write(&filling, vec![0; 1 << 20]);
    });
    let run = ["check", "slow-analytics", "--rounds", "2", "--url", &url.await];
    let said = ended(&mut stampede(&args(&run, &out))).await;
    if fills && said.stderr.contains("repeating the round") {
        // It was asked once more, and took that for the second round.
        return Box::pin(checked_on_a_small_disk(fills)).await;
    }
    Some((said, disk))
}

#[tokio::test]
async fn a_disk_that_fills_during_a_run_is_named_and_the_rounds_before_are_kept() {
    for fills in [false, true] {
        let Some((said, disk)) = checked_on_a_small_disk(fills).await else {
            let name = "a_disk_that_fills_during_a_run_is_named_and_the_rounds_before_are_kept";
            return skip(name, "mounting a tmpfs needs root");
        };
        let out = disk.0.path().join("run");
        said.fails(3, &["no space left on", out.to_str().unwrap(), "free some room"]);
        assert!(said.stdout.contains("slow-analytics"), "the table is printed: {said:#?}");
        assert_eq!(said.stdout.contains("Ended by a failure"), fills, "{said:#?}");
        assert_eq!(out.join("results.json").exists(), !fills, "{said:#?}");
    }
}

#[tokio::test]
async fn help_and_lists_fit_the_terminal() {
    // A line that clap has to break loses its indent.
    for (command, headings) in
        [(&["--help"][..], &["Begin with:", "Environment:"][..]), (&["compare", "--help"], &["Exit codes:"])]
    {
        let said = ended(&mut stampede(command)).await;
        for heading in headings {
            let part = said.stdout.split("\n\n").find(|part| part.starts_with(heading)).expect(heading);
            assert!(part.lines().all(|line| line.chars().count() < 80), "{part}");
        }
    }

    let list = async |columns: u16| {
        let program = env!("CARGO_BIN_EXE_stampede");
        let shown = format!("stty columns {columns} rows 24; exec {program} list");
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &shown, "/dev/null"]).env("NO_COLOR", "1").env("SHELL", "/bin/sh");
        terminal.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        ended(&mut terminal).await.stdout
    };
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return skip("help_and_lists_fit_the_terminal", "there is no `script`, which makes terminals");
    }
    // Some terminals say that they have no columns at all.
    let unknown = list(0).await;
    assert!(unknown.contains("Buyers get an order for products that were already sold out."), "{unknown}");
    for columns in [80, 40] {
        let shown = list(columns).await;
        assert!(shown.contains(" oversold-stock ") && shown.contains(" transaction"), "{shown}");
        assert!(shown.lines().take(20).all(|line| line.chars().count() <= columns.into()), "{shown}");
    }
}

#[tokio::test]
async fn an_edit_that_was_not_built_is_not_judged() {
    let name = "an_edit_that_was_not_built_is_not_judged";
    let (root, edited) = (
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(),
        "target-app/src/exercises/oversold_stock/buggy.rs",
    );
    let edit = tempfile::NamedTempFile::new().unwrap();
    fs::write(edit.path(), "// another").unwrap();
    // In its own mount namespace, so that nobody else sees the edit.
    let with_edit = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind \"$0\" \"$1\" && shift && exec \"$@\""]);
        command.arg(edit.path()).arg(root.join(edited)).arg(env!("CARGO_BIN_EXE_stampede")).args(arguments);
        command.env("DATABASE_URL", NO_DATABASE).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let tried = std::process::Command::new("unshare").args(["--mount", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return skip(name, "mounting in a namespace needs root and `unshare`");
    }
    let check = ended(&mut with_edit(&["check", "oversold-stock"])).await;
    check.fails(3, &[edited, "cargo run --release -- check oversold-stock"]);
    // Those that measure what was built say so; that of somebody else's server has no source.
    for (arguments, warned) in [
        (&["compare", "--quick"][..], true),
        (&["run", "oversold-stock", "--variant", "buggy"], true),
        (&["serve", "--port", "0"], true),
        (&["check", "oversold-stock", "--url", "http://127.0.0.1:1"], false),
    ] {
        let out = tempfile::tempdir().unwrap();
        let arguments =
            if arguments[0] == "serve" { arguments.to_vec() } else { args(arguments, out.path()) };
        let said = ended(&mut with_edit(&arguments)).await;
        assert_eq!(said.code, Some(3), "{said:#?}");
        assert_eq!(said.stderr.contains("warning: ") && said.stderr.contains(edited), warned, "{said:#?}");
    }
}

/// Serves `router` on a free port as long as the test lasts.
async fn stub(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn checked(url: &str) -> Said {
    checked_for("oversold-stock", url).await
}

async fn checked_for(exercise: &str, url: &str) -> Said {
    let out = tempfile::tempdir().unwrap();
    ended(&mut stampede(&args(&["check", exercise, "--url", url], out.path()))).await
}

#[tokio::test]
async fn a_url_where_this_api_is_not_ends_the_check_with_3() {
    let refusing = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    checked(&format!("http://{refusing}"))
        .await
        .fails(3, &[&refusing.to_string(), "--url", "nothing answers"]);

    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent_at = silent.local_addr().unwrap().to_string();
    let start = Instant::now();
    checked(&format!("http://{silent_at}")).await.fails(3, &[&silent_at, "--url", "not answered in time"]);
    assert!(start.elapsed() < Duration::from_secs(30), "it is not waited for without end");

    for body in ["<html>welcome</html>", "{}"] {
        let url = stub(Router::new().fallback(move || async move { body })).await;
        checked(&url).await.fails(3, &[&url, "/products", "--url"]);
    }
}

/// The server at `url`, but for these routes.
async fn instead(url: &str, routes: Router) -> String {
    let (client, url) = (reqwest::Client::new(), url.to_owned());
    let pass_on = async move |request: Request| {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().expect("a path");
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let request = client.request(head.method, format!("{url}{path}")).headers(head.headers).body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.headers().clone(), answer.bytes().await.unwrap())
    };
    stub(routes.fallback(pass_on)).await
}

/// The server at `url`, until the round with this number begins.
async fn gone_in_round(round: u32, url: &str, then: impl Fn() + Clone + Send + Sync + 'static) -> String {
    let asked = Arc::new(AtomicU32::new(0));
    // Whether it is there is asked once before the first round, and before each.
    let health = async move || match asked.fetch_add(1, Ordering::SeqCst) {
        before if before < round => StatusCode::OK,
        _ => {
            then();
            StatusCode::NOT_FOUND
        }
    };
    instead(url, Router::new().route("/health", get(health))).await
}

/// A server whose analytics are none, so that a check of them is soon over; and what it stands on.
async fn without_analytics() -> (Served, String) {
    let served = Served::start(&[]).await;
    let stub = Router::new().route("/restaurants/{id}/analytics", get(async || Json(json!({}))));
    let url = instead(&served.url, stub).await;
    (served, url)
}

/// What a check says of a server that answers one request not as it should.
#[track_caller]
fn is_exposed_by_one_client(said: &Said, words: &[&str]) {
    assert_eq!(said.code, Some(1), "{said:#?}");
    // Lines are broken where the terminal ends.
    let text = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in [&["keeps-contract", "no load was sent"], words].concat() {
        assert!(text.contains(word), "{word}: {said:#?}");
    }
    assert!(!said.stderr.contains("panicked"), "{said:#?}");
}

#[tokio::test]
async fn a_stub_never_passes() {
    let served = Served::start(&[]).await;
    let other = json!({ "id": "00000000-0000-7000-8000-000000000099", "userId": "00000000-0000-7000-8000-000000000099",
        "status": "pending", "total": 0, "createdAt": "2026-01-01T00:00:00Z", "items": [] });
    for (checkout, word) in [
        ((StatusCode::CREATED, json!({})), "the answer is not an order"),
        ((StatusCode::CREATED, other), "the order is another user's"),
        (
            (StatusCode::INTERNAL_SERVER_ERROR, json!({ "detail": "todo" })),
            "answered 500 Internal Server Error (todo)",
        ),
        ((StatusCode::CONFLICT, json!({})), "answered 409"),
        ((StatusCode::SERVICE_UNAVAILABLE, json!({})), "answered 503"),
    ] {
        let stub =
            Router::new().route("/orders/checkout", post(async move || (checkout.0, Json(checkout.1))));
        let said = checked(&instead(&served.url, stub).await).await;
        is_exposed_by_one_client(
            &said,
            &[word, "POST /orders/checkout"][..if word.contains("answered") { 2 } else { 1 }],
        );
    }
    let empty = Router::new().route("/products", get(async || Json(json!({ "products": [] }))));
    checked(&instead(&served.url, empty).await)
        .await
        .fails(3, &["no product is nearly sold out", "seeded data"]);
}

#[tokio::test]
async fn a_report_without_the_orders_never_passes() {
    let served = Served::start(&[]).await;
    let empty = b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n\
                  xref\n0 3\n0000000000 65535 f \n0000000009 00000 n \n0000000053 00000 n \n\
                  trailer<</Size 3/Root 1 0 R>>\nstartxref\n98\n%%EOF";
    for (kind, body, word) in [
        ("application/pdf", empty.to_vec(), "the report does not name its user"),
        ("application/pdf", b"%PDF-1.7\n%%EOF".to_vec(), "the report is not a PDF"),
        ("application/pdf", b"<html>".to_vec(), "the report is not a PDF"),
        ("text/html", b"<html>".to_vec(), "the report is called text/html"),
    ] {
        let report = async move || ([("content-type", kind)], body);
        let stub = Router::new().route("/reports/orders/{user}", get(report));
        let said = checked_for("frozen-health", &instead(&served.url, stub).await).await;
        is_exposed_by_one_client(&said, &[word]);
    }
}

#[tokio::test]
async fn a_health_check_that_fails_at_once_does_not_pass_for_quick() {
    let served = Served::start(&[]).await;
    let asked = Arc::new(AtomicU32::new(0));
    // The first are those of whoever looks whether the server is there.
    let health = async move || match asked.fetch_add(1, Ordering::SeqCst) {
        0..20 => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let failing = instead(&served.url, Router::new().route("/health", get(health))).await;
    let said = checked_for("frozen-health", &failing).await;
    assert!(matches!(said.code, Some(1 | 3)), "{said:#?}");
    assert!(said.stdout.contains("health-p99") && said.stdout.contains("not 200"), "{said:#?}");
}

#[tokio::test]
async fn analytics_pass_only_when_all_of_them_are_right() {
    let served = Served::start(&[]).await;
    for (pointer, wrong, word) in [
        ("/totalOrders", json!(4), "of 120 orders, 4 were counted"),
        ("/totalRevenue", json!(44.99), "the revenue is 44.99"),
        ("/averageOrderValue", json!(8.9), "the average is 8.90"),
        ("/topItems", json!([]), "0 best sellers are listed"),
        ("/topItems/0/name", json!("Stew"), "and is 'Stew'"),
        ("/topItems/0/revenue", json!(0.0), "best seller 1 must be"),
    ] {
        let url = served.url.clone();
        let altered = async move |Parts(id): Parts<String>| {
            let url = format!("{url}/restaurants/{id}/analytics");
            let answer =
                reqwest::Client::new().get(url).header("X-Tenant-ID", "tenant-1").send().await.unwrap();
            let mut analytics: Value = answer.json().await.unwrap();
            *analytics.pointer_mut(pointer).unwrap() = wrong;
            Json(analytics)
        };
        let stub = Router::new().route("/restaurants/{id}/analytics", get(altered));
        let said = checked_for("slow-analytics", &instead(&served.url, stub).await).await;
        is_exposed_by_one_client(&said, &[word]);
    }
}

#[tokio::test]
async fn a_restaurant_whose_pages_are_all_the_same_ends_the_check() {
    let served = Served::start(&[]).await;
    let meal = |n: usize| json!({ "id": format!("00000000-0000-7000-8000-{n:012}"), "status": "completed", "total": 9.0, "items": [] });
    let meals: Vec<Value> = (0..100).map(meal).collect();
    let endless =
        Router::new().route("/restaurants/{id}/orders", get(async move || Json(json!({ "orders": meals }))));
    let said = checked_for("slow-analytics", &instead(&served.url, endless).await).await;
    is_exposed_by_one_client(&said, &["page=2", "the page before"]);
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let served = Served::start(&[]).await;
    // Like a reader of a random device: more comes for as long as somebody reads.
    let endless = async || {
        let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 16]));
        axum::body::Body::from_stream(chunks)
    };
    let stub = Router::new().route("/orders/checkout", post(endless));
    let said = checked(&instead(&served.url, stub).await).await;
    is_exposed_by_one_client(&said, &["answered with more than 32 MB"]);
}

#[tokio::test]
async fn too_small_a_load_proves_nothing() {
    for (run, word) in [
        (&["check", "frozen-health", "--duration", "1s"][..], "of health"),
        (&["check", "oversold-stock", "--rate", "2", "--duration", "10s", "--rounds", "1"], "of checkout"),
    ] {
        let out = tempfile::tempdir().unwrap();
        let said = ended(&mut stampede(&args(run, out.path()))).await;
        assert_eq!(said.code, Some(3), "{said:#?}");
        assert!(said.stdout.contains("enough-load") && said.stdout.contains(word), "{said:#?}");
    }
}

#[tokio::test]
async fn the_code_as_it_shipped_does_not_pass_its_check() {
    let out = tempfile::tempdir().unwrap();
    let run = ["check", "oversold-stock", "--duration", "2s", "--rounds", "1"];
    let said = ended(&mut stampede(&args(&run, out.path()))).await;
    assert!(matches!(said.code, Some(1 | 3)), "{said:#?}");
    assert!(said.stdout.contains("sold-within-stock"), "{said:#?}");
    let results = results(out.path());
    let buggy = &results.exercises[0].variants[0];
    let failed: Vec<&str> =
        buggy.checks.iter().filter(|check| !check.held).map(|check| check.name.as_str()).collect();
    assert!(failed.contains(&"sold-within-stock"), "{failed:?}");
}

/// Two rounds of `check slow-analytics` on a server that is gone in one of them.
async fn checked_until_it_is_gone_in(round: u32, out: &Path) -> Said {
    let served = Served::start(&[]).await;
    let url = gone_in_round(round, &served.url, || ()).await;
    let run = ["check", "slow-analytics", "--rounds", "2", "--url", &url];
    let said = ended(&mut stampede(&args(&run, out))).await;
    if said.stderr.contains("repeating the round") {
        // It was asked once more, and took that for the next round.
        return Box::pin(checked_until_it_is_gone_in(round, out)).await;
    }
    assert_eq!(said.code, Some(3), "{said:#?}");
    let named = format!("round {round}");
    assert!(said.stderr.contains(&named) && said.stderr.contains("/health"), "{said:#?}");
    said
}

#[tokio::test]
async fn a_failure_before_anything_was_measured_leaves_nothing() {
    let out = tempfile::tempdir().unwrap().path().join("run");
    let said = checked_until_it_is_gone_in(1, &out).await;
    assert!(said.stdout.is_empty(), "{said:#?}");
    assert!(!out.exists(), "{:?}", fs::read_dir(&out).map(Iterator::collect::<Vec<_>>));
}

#[tokio::test]
async fn a_failure_in_a_later_round_keeps_the_rounds_before() {
    let out = tempfile::tempdir().unwrap();
    let said = checked_until_it_is_gone_in(2, out.path()).await;
    assert!(said.stdout.contains("Ended by a failure"), "{said:#?}");
    let results = results(out.path());
    assert!(!results.complete && results.failure.is_some());
    assert_eq!(results.exercises[0].variants[0].rounds, 1);
    for report in ["report.html", "summary.md", "junit.xml"] {
        let text = fs::read_to_string(out.path().join(report)).unwrap();
        assert!(text.contains("Ended by a failure"), "{report}");
    }
}

#[tokio::test]
async fn a_load_that_may_open_too_few_files_is_not_begun() {
    let limited = |limit: &str| {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                &format!("ulimit -n {limit}; exec \"$0\" compare --quick"),
                env!("CARGO_BIN_EXE_stampede"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    };
    ended(&mut limited("64")).await.fails(3, &["may open 64 files", "ulimit -n"]);
}

#[tokio::test]
async fn a_user_who_may_start_too_few_threads_is_told_so() {
    let name = "a_user_who_may_start_too_few_threads_is_told_so";
    // Root may start as many as there are, so it is a user that nobody is, who need not reach where this was built.
    let (dir, built) = (open_directory(), env!("CARGO_BIN_EXE_stampede"));
    let (other, program): (&[&str], _) = if rustix::process::geteuid().is_root() {
        let copy = dir.path().join("stampede");
        fs::copy(built, &copy).unwrap();
        (&["setpriv", "--reuid=4242421", "--regid=4242421", "--clear-groups", "prlimit"], copy)
    } else {
        (&["prlimit"], built.into())
    };
    let limited = |threads: u32, arguments: &[&str]| {
        let mut command = Command::new(other[0]);
        command.args(&other[1..]).arg(format!("--nproc={threads}")).arg(&program).args(arguments);
        command.env_remove("DATABASE_URL").env("STAMPEDE_HOME", "/nonexistent");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let tried = limited(1, &["--version"]).output().await;
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return skip(name, "there is no `setpriv` or no `prlimit`");
    }
    // Nothing is started for these.
    assert_eq!(ended(&mut limited(1, &["list"])).await.code, Some(0));
    for threads in [1, 2, 3, 5] {
        for arguments in [
            &["compare"][..],
            &["run", "oversold-stock", "--variant", "fixed"],
            &["check", "oversold-stock", "--url", "http://127.0.0.1:1"],
            &["serve"],
            &["seed", "shop"],
            &["probe", "http://127.0.0.1:1"],
        ] {
            ended(&mut limited(threads, arguments)).await.fails(3, &["threads", "ulimit -u"]);
        }
        let server = ["target-app", "--database-url", NO_DATABASE];
        let said = ended(&mut limited(threads, &server)).await;
        assert!(said.code == Some(1) && said.stderr.contains("ulimit -u"), "{said:#?}");
        assert!(!said.stderr.contains("panicked"), "{said:#?}");
    }
    // Enough for the command itself.
    let itself = std::thread::available_parallelism().unwrap().get() as u32 + 12;
    for arguments in [&["compare"][..], &["serve"]] {
        ended(&mut limited(itself, arguments)).await.fails(3, &["threads", "ulimit -u"]);
    }
}

#[tokio::test]
async fn ctrl_c_ends_the_preparation_too() {
    use std::os::unix::fs::PermissionsExt;
    let (home, bin) = (open_directory(), open_directory());
    for program in ["postgres", "initdb", "pg_ctl", "psql", "pg_dump", "createdb"] {
        let path = bin.path().join(program);
        let script = "#!/bin/sh\ncase \"$1\" in --version|-V) echo \"$(basename $0) (PostgreSQL) 15.18\";; *) sleep 77;; esac\n";
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (command, code) in [(&["compare", "--quick"][..], 130), (&["serve", "--port", "0"], 0)] {
        let mut command = stampede(command);
        command.env("STAMPEDE_POSTGRES_BIN", bin.path()).env("STAMPEDE_HOME", home.path());
        let child = command.spawn().unwrap();
        let pid = child.id().unwrap();
        eventually("it prepares", || descendants(pid).iter().any(|(_, name)| name.contains("sleep 77")))
            .await;
        let processes = descendants(pid);
        signal(&child, Signal::INT);
        let output =
            tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("it ends").unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        all_gone(&processes).await;
        assert!(fs::symlink_metadata(home.path().join("latest")).is_err());
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_and_an_output_that_takes_nothing_cost_no_report() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    let mut command = stampede(&["run", "slow-analytics", "--variant", "fixed", "--quick"]);
    command.arg("--out").arg(&out).stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let said = ended(&mut command).await;
    assert_eq!(said.code, Some(3), "{said:#?}");
    assert!(said.stderr.contains("could not print") && !said.stderr.contains("panicked"), "{said:#?}");
    assert!(results(&out).complete);
    assert!(out.join("report.html").exists());
}

/// `stampede serve`, and what it says.
struct Served {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Served {
    async fn start(options: &[&str]) -> Self {
        let mut child = stampede(&[&["serve", "--port", "0"], options].concat()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.expect("in time");
        let line = line.unwrap().expect("where it serves");
        let url = line.split_whitespace().nth(1).expect("Serving <url>").to_owned();
        Served { child, lines, url }
    }

    async fn wait(mut self) -> Said {
        while self.lines.next_line().await.unwrap().is_some() {}
        let output = tokio::time::timeout(DEADLINE, self.child.wait_with_output()).await;
        let output = output.expect("it ends").unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Said { code: output.status.code(), stdout: String::new(), stderr }
    }
}

#[tokio::test]
async fn a_served_backend_is_judged_through_http_and_ends_at_sigterm() {
    for (all, expected) in [("fixed", 0), ("buggy", 1)] {
        // The other tests use the same processors. A generator that was late says so, and proves nothing; nor does a
        // server that was late with an answer.
        let invariants = || EXERCISE.checks.iter().filter(|check| check.kind == CheckKind::Invariant);
        let in_vain = |said: &Said| {
            let broken = invariants().any(|check| said.stdout.contains(check.name));
            said.stderr.contains("saturated") || all == "fixed" && !broken
        };
        let mut attempts = 1..=5;
        let (served, said) = loop {
            let served = Served::start(&["--all", all]).await;
            // A server that was not optimised gets less at a time.
            let out = tempfile::tempdir().unwrap();
            let gently =
                ["check", "oversold-stock", "--rate", "100", "--duration", "5s", "--url", &served.url];
            let said = ended(&mut stampede(&args(&gently, out.path()))).await;
            if said.code == Some(expected) || !in_vain(&said) || attempts.next().is_none() {
                break (served, said);
            }
        };
        assert_eq!(said.code, Some(expected), "{all}: {said:#?}");

        let processes = descendants(served.child.id().unwrap());
        assert!(processes.len() >= 2, "a server and a database: {processes:?}");
        signal(&served.child, Signal::TERM);
        let said = served.wait().await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        all_gone(&processes).await;
    }
}

#[tokio::test]
async fn serve_ends_when_its_server_dies() {
    let served = Served::start(&[]).await;
    let processes = descendants(served.child.id().unwrap());
    let (server, _) = processes.iter().find(|(_, name)| name.contains(" target-app ")).expect("the server");
    kill_process(Pid::from_raw(*server as i32).unwrap(), Signal::KILL).unwrap();
    served.wait().await.fails(3, &["a server ended with signal: 9"]);
    all_gone(&processes).await;
}

#[tokio::test]
async fn serve_ends_when_its_database_dies() {
    let served = Served::start(&[]).await;
    let processes = descendants(served.child.id().unwrap());
    // Its supervisor has the same words in its command line.
    let is_server = |name: &str| name.contains("/postgres -D ") && !name.contains("/bin/sh");
    let (server, _) = processes.iter().find(|(_, name)| is_server(name)).expect("the database");
    kill_process(Pid::from_raw(*server as i32).unwrap(), Signal::KILL).unwrap();
    let said = served.wait().await;
    said.fails(3, &["PostgreSQL server is gone: signal 9 ended it"]);
    assert!(!said.stderr.contains("DATABASE_URL"), "{said:#?}");
}

/// `stampede compare` in its second round: one is complete, one is under way.
async fn in_the_second_round(out: &Path) -> (Child, Lines<BufReader<tokio::process::ChildStderr>>) {
    let run = ["compare", "slow-analytics", "--duration", "2s", "--seed", "7"];
    let mut child = stampede(&args(&run, out)).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let second =
        async { while !lines.next_line().await.unwrap().expect("more rounds").starts_with("[2/") {} };
    tokio::time::timeout(DEADLINE, second).await.expect("a second round");
    let pid = child.id().unwrap();
    eventually("the round's server runs", || {
        descendants(pid).iter().any(|(_, name)| name.contains(" target-app "))
    })
    .await;
    (child, lines)
}

#[tokio::test]
async fn an_interrupted_run_keeps_what_it_has() {
    for interrupt in [Signal::INT, Signal::TERM, Signal::HUP] {
        let out = tempfile::tempdir().unwrap();
        let (child, mut stderr) = in_the_second_round(out.path()).await;
        let processes = descendants(child.id().unwrap());
        signal(&child, interrupt);
        let output =
            tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("it ends").unwrap();
        let mut said = String::new();
        while let Some(line) = stderr.next_line().await.unwrap() {
            said += &line;
        }
        assert_eq!(output.status.code(), Some(130), "{interrupt:?}: {said}");
        all_gone(&processes).await;

        let results = results(out.path());
        assert!(!results.complete);
        assert_eq!(results.exercises[0].variants.iter().map(|variant| variant.rounds).sum::<u32>(), 1);
        for report in ["report.html", "summary.md", "junit.xml"] {
            assert!(out.path().join(report).exists(), "{report}");
        }
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.contains("interrupted") || stdout.contains("incomplete"), "{stdout}");
    }
}

/// What a comparison says on standard error, line by line until one begins with this, and what it prints when it is
/// interrupted then.
async fn said_until(begin: &str, comparison: &[&str]) -> (Vec<String>, String) {
    let out = tempfile::tempdir().unwrap();
    let mut child = stampede(&args(comparison, out.path())).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said: Vec<String> = Vec::new();
    let reading = async {
        while !said.last().is_some_and(|line| line.starts_with(begin)) {
            said.push(stderr.next_line().await.unwrap().expect("a line that begins so"));
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("in time");
    signal(&child, Signal::INT);
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("it ends").unwrap();
    (said, String::from_utf8(output.stdout).expect("text"))
}

#[tokio::test]
async fn a_comparison_without_ids_is_the_tour_and_with_all_is_of_all() {
    let rounds = |exercises: &[&Exercise]| exercises.iter().map(|one| one.variants.len()).sum::<usize>();
    for (options, exercises, printed) in [
        (&["--quick"][..], TOUR, "oversold-stock  Oversold stock\n"),
        (&["--quick", "--all"], EXERCISES, "exercise          variant"),
    ] {
        let (said, stdout) = said_until("[2/", &[&["compare"], options].concat()).await;
        let begin = format!("[2/{}] exercise 1 of {}: oversold-stock ", rounds(exercises), exercises.len());
        assert!(said.last().unwrap().starts_with(&begin), "{begin}: {said:#?}");
        assert!(stdout.starts_with(printed), "{stdout}");
    }
}

#[tokio::test]
async fn a_comparison_says_how_far_it_is_and_what_did_not_come_out_as_expected() {
    // Too few requests to prove anything.
    let little = ["--quick", "--rate", "2", "--duration", "1s"];
    let (said, _) =
        said_until("[4/8]", &[&["compare", "slow-analytics", "oversold-stock"][..], &little].concat()).await;
    let line = |begin: &str| said.iter().find(|line| line.starts_with(begin)).expect(begin);
    assert!(line("[1/8]").starts_with("[1/8] exercise 1 of 2: slow-analytics "), "{said:#?}");
    assert!(line("[1/8]").ends_with(", round 1 of 1"), "{said:#?}");
    let second = line("[2/8]");
    assert!(second.contains(", round 1 of 1, about ") && second.ends_with(" left"), "{said:#?}");
    assert!(line("[4/8]").starts_with("[4/8] exercise 2 of 2: oversold-stock "), "{said:#?}");
    assert_eq!(line("⚠ slow-analytics fixed"), "⚠ slow-analytics fixed: invalid, expected clean");
}

async fn fetched(url: &str) -> String {
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_run_can_be_looked_at_while_it_goes_on() {
    let out = tempfile::tempdir().unwrap();
    let run = ["run", "slow-analytics", "--variant", "fixed", "--duration", "3s", "--metrics-port", "0"];
    let mut command = stampede(&args(&run, out.path()));
    let mut child = command.env("RUST_LOG", "target_app=info").spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut line = String::new();
    while !line.starts_with("metrics of the load: ") {
        line =
            tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().expect("its address");
    }
    let url = |path: &str| {
        let found = line.split([' ', ',']).find(|word| word.starts_with("http://") && word.ends_with(path));
        found.unwrap_or_else(|| panic!("{path} is not in '{line}'")).to_owned()
    };

    // Of the first round, that servers are listed; of the second, what the first was found to be.
    let looking = async {
        let mut listed = Vec::new();
        while listed.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            listed = serde_json::from_str::<Vec<Value>>(&fetched(&url("/targets")).await).unwrap();
        }
        let part = |pointer: &str| listed[0].pointer(pointer).and_then(Value::as_str).unwrap();
        let (address, path) = (part("/targets/0"), part("/labels/__metrics_path__"));
        let server = fetched(&format!("http://{address}{path}")).await;
        let mut metrics = String::new();
        while !metrics.contains("stampede_check_held{") {
            metrics = fetched(&url("/metrics")).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (listed, server, metrics)
    };
    let (listed, server, metrics) = tokio::time::timeout(DEADLINE, looking).await.expect("in time");
    assert!(server.contains("stampede_run_info{"), "{server}");
    let ours = r#"exercise="slow-analytics",request="analytics",variant="fixed""#;
    assert!(metrics.contains(&format!("stampede_loadgen_requests_intended_total{{{ours}}}")), "{metrics}");
    assert!(metrics.contains(r#"check="generator-kept-up""#), "{metrics}");

    drop(lines);
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("it ends").unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{output:?}");
    let results = results(out.path());
    assert_eq!(listed[0]["labels"]["variant"], "fixed");
    assert_eq!(listed[0]["labels"]["run_id"], Value::from(results.run_id));
    let slowest = &results.exercises[0].variants[0].slowest;
    assert!(slowest.iter().any(|slow| slow.request == "analytics"), "{slowest:?}");
    let logs: String = fs::read_dir(out.path().join("logs"))
        .unwrap()
        .map(|log| fs::read_to_string(log.unwrap().path()).unwrap())
        .collect();
    for slow in slowest.iter().filter(|slow| slow.outcome == "ok") {
        assert!(logs.contains(&slow.trace_id), "the server's logs do not know {slow:?}");
    }
}

#[tokio::test]
async fn nothing_runs_on_after_a_command_was_killed_outright() {
    let out = tempfile::tempdir().unwrap();
    let (mut child, _stderr) = in_the_second_round(out.path()).await;
    let processes = descendants(child.id().unwrap());
    child.kill().await.unwrap();
    all_gone(&processes).await;
}
