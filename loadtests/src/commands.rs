//! What each command does, and how it ends.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use similar::{ChangeTag, TextDiff};
use target_app::catalogue::{self, EXERCISES, UnknownName};
use target_app::config::ChoiceError;
use target_app::postgres::{DatabaseName, Options, Postgres, PostgresError, default_home};
use target_app::seed;

use crate::api::Api;
use crate::cli::{Cli, Command, ContentOptions, DataOptions, LoadOptions};
use crate::compare::{self, Bench, Job, ShapeChange, Watch};
use crate::exporter::Exporter;
use crate::hint::Hinted;
use crate::lab::{Deployment, Lab, Setting};
use crate::load::{Cancel, Mode};
use crate::report;
use crate::report::facts::Outcome;
use crate::results::{Results, Verdict};
use crate::scenarios::{SCENARIOS, scenario};

const UNEXPECTED: u8 = 1;
const USAGE: u8 = 2;
const INVALID: u8 = 3;
const INTERRUPTED: u8 = 130;

/// What clap shows to somebody who typed no command at all.
const SHORT_HELP: ErrorKind = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;

/// Requests in one round, at most: all of them are planned, and kept in memory, before the first is sent.
const MOST_REQUESTS: f64 = 1e6;

/// Open files that a load may need: a connection for each user, and some for everything else.
const FILES: u64 = compare::USERS as u64 + 100;

/// More is not asked for.
const MOST_FILES: u64 = 65_536;

/// Results of earlier runs that are kept in the default directory.
const RUNS_KEPT: usize = 20;

/// A problem with what was asked for rather than with doing it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Usage {
    message: String,
    hint: String,
}

/// A signal came before anything was measured or served.
#[derive(Debug, thiserror::Error)]
#[error("interrupted before anything was measured")]
struct Interrupted;

impl From<UnknownName> for Usage {
    fn from(unknown: UnknownName) -> Self {
        Usage { message: unknown.to_string(), hint: unknown.hint() }
    }
}

impl From<ChoiceError> for Usage {
    fn from(error: ChoiceError) -> Self {
        Usage { message: error.to_string(), hint: error.hint() }
    }
}

impl From<clap::Error> for Usage {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        // clap says what is wrong, then gives tips, the usage and a pointer to the help, each in its own paragraph.
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim();
        let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
        let hints: Vec<&str> = tips.chain(["--help tells what can be written"]).collect();
        Usage { message: message.into(), hint: hints.join("; ") }
    }
}

/// Parses the command line, does what it says, and gives the process its exit code.
pub fn main() -> ExitCode {
    let color =
        if use_color(&std::io::stdout()) { clap::ColorChoice::Auto } else { clap::ColorChoice::Never };
    let parsed = Cli::command().color(color).try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        // Help and version are printed, not complained about.
        Err(error) if !error.use_stderr() || error.kind() == SHORT_HELP => error.exit(),
        Err(error) => return fail(&Usage::from(error).into()),
    };
    // The server brings its own runtime and its own logs.
    if let Command::Server(config) = cli.command {
        return target_app::server::run(config);
    }
    // Broken pipes end the reader's interest, not the run: the reports are on disk.
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("could not start the async runtime")),
    };
    match runtime.block_on(dispatch(cli.command)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let mut text = format!("error: {error:#}");
    let usage = error.downcast_ref::<Usage>();
    let hint = (usage.map(|usage| usage.hint.clone()))
        .or_else(|| Some(error.downcast_ref::<Hinted>()?.hint.clone()))
        .or_else(|| Some(error.downcast_ref::<PostgresError>()?.hint()));
    if let Some(hint) = hint {
        let _ = write!(text, "\n\nhint: {hint}");
    }
    complain(&text);
    ExitCode::from(if usage.is_some() {
        USAGE
    } else if error.is::<Interrupted>() {
        INTERRUPTED
    } else {
        INVALID
    })
}

/// Prints to standard error, unless its reader has left: `eprintln!` would panic.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List => say(&list()),
        Command::Diff { id, from, to } => say(&diff(&id, &from, &to).map_err(Usage::from)?),
        Command::Compare { ids, load } => {
            let scenarios = match ids.as_slice() {
                [] => SCENARIOS.to_vec(),
                ids => once(ids).map(|id| scenario(id)).collect::<Result<_, _>>().map_err(Usage::from)?,
            };
            let exercises =
                scenarios.into_iter().map(|scenario| (scenario, compare::variants_of_kind(scenario, None)));
            measure(exercises.collect(), None, None, load).await
        }
        Command::Run { id, variants, load } => {
            let scenario = scenario(&id).map_err(Usage::from)?;
            let variants =
                once(&variants).map(|name| scenario.exercise().variant(name)).collect::<Result<_, _>>();
            measure(vec![(scenario, variants.map_err(Usage::from)?)], None, None, load).await
        }
        Command::Check { id, url, load } => {
            let scenario = scenario(&id).map_err(Usage::from)?;
            let edited = scenario.exercise().variant("buggy").map_err(Usage::from)?;
            measure(vec![(scenario, vec![edited])], Some(Verdict::Clean), url, load).await
        }
        Command::Serve { port, operator_port, choice, replicas, data } => {
            serve(port, operator_port, &choice, replicas, data).await
        }
        Command::Seed { names, content } => seed(&names, content).await,
        Command::Probe { url } => probe(url).await,
        Command::Server(_) => unreachable!("handled before the runtime was started"),
    }
}

/// The names without those that were said before.
fn once(names: &[String]) -> impl Iterator<Item = &String> {
    names.iter().enumerate().filter(|(n, name)| !names[..*n].contains(name)).map(|(_, name)| name)
}

/// Prints to standard output. A reader who has left is no error.
fn say(text: &str) -> anyhow::Result<ExitCode> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("could not print"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn use_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

fn list() -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["exercise", "what users report", "variants"]);
    for exercise in EXERCISES {
        let variants: Vec<&str> = exercise.variants.iter().map(|variant| variant.name).collect();
        table.add_row([exercise.id, exercise.symptom, &variants.join("\n")]);
    }
    format!("{table}\n\nEach has a page: docs/exercises/<exercise>.md\n")
}

fn diff(id: &str, from: &str, to: &str) -> Result<String, UnknownName> {
    let exercise = catalogue::exercise(id)?;
    let (from, to) = (exercise.variant(from)?, exercise.variant(to)?);
    let color = use_color(&std::io::stdout());
    let paint = |code: &str, line: &str| match color {
        true => format!("\x1b[{code}m{line}\x1b[0m\n"),
        false => format!("{line}\n"),
    };
    let lines = TextDiff::from_lines(from.source, to.source);
    let path = |name: &str| {
        format!("target-app/src/exercises/{}/{}.rs", exercise.snake_id(), name.replace('-', "_"))
    };
    let mut text = paint("1", &format!("--- {}  ({}: {})", path(from.name), from.kind, from.claim));
    text += &paint("1", &format!("+++ {}  ({}: {})", path(to.name), to.kind, to.claim));
    for hunk in lines.unified_diff().context_radius(3).iter_hunks() {
        text += &paint("36", hunk.header().to_string().trim_end());
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            text += &match change.tag() {
                ChangeTag::Delete => paint("31", &format!("-{line}")),
                ChangeTag::Insert => paint("32", &format!("+{line}")),
                ChangeTag::Equal => format!(" {line}\n"),
            };
        }
    }
    Ok(text)
}

type Exercises = Vec<(&'static dyn crate::scenarios::Scenario, Vec<&'static catalogue::Variant>)>;

/// Runs the exercises, writes the reports, prints the tables.
async fn measure(
    exercises: Exercises,
    expected: Option<Verdict>,
    url: Option<reqwest::Url>,
    load: LoadOptions,
) -> anyhow::Result<ExitCode> {
    bounded(&exercises, &load)?;
    enough_files()?;
    let cancel = Cancel::on_ctrl_c();
    cancel_on_terminate(&cancel)?;
    let home = default_home();
    let started = chrono::Local::now().format("%Y-%m-%d-%H%M%S-%3f").to_string();
    let out = load.out.clone().unwrap_or_else(|| home.join("runs").join(started));
    let rounds = match (load.quick || url.is_some(), load.rounds) {
        (_, Some(rounds)) => rounds,
        (true, None) => 1,
        (false, None) => 2,
    };
    let job = Job {
        expected,
        rounds,
        seed: load.data.content.seed,
        mode: if load.closed { Mode::Closed } else { Mode::Open },
        shape: ShapeChange {
            rate: load.rate,
            duration: load.duration,
            replicas: load.replicas.map(usize::from),
        },
        command: std::env::args_os()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" "),
        out,
        exercises,
        exporter: match load.metrics_port {
            None => None,
            Some(port) => {
                Some(Exporter::listen(port).await.map_err(|error| unusable(port, error, "--metrics-port"))?)
            }
        },
    };

    // Before anything is measured: nobody wants to learn at the end that there is no room for the results.
    std::fs::create_dir_all(job.logs()).with_context(|| unwritable(&job.out))?;
    let tidy = |job: &Job| {
        // Only what is empty: a server's last words stay.
        let _ = std::fs::remove_dir(job.logs()).and_then(|()| std::fs::remove_dir(&job.out));
    };

    let total: usize = job.exercises.iter().map(|(_, variants)| variants.len() * rounds as usize).sum();
    let progress = Progress::new(total as u64);
    if let Some(exporter) = &job.exporter {
        let address = exporter.address;
        progress.note(&format!(
            "metrics of the load: http://{address}/metrics, servers under test: http://{address}/targets"
        ));
    }
    let opened = async {
        anyhow::Ok(match url {
            Some(url) => {
                progress.note(&format!("looking at the server at {url}"));
                let api = Api::new(vec![url], Vec::new())?;
                api.probe().await?;
                Bench::Foreign(api)
            }
            None => Bench::Lab(Box::new(open(&load.data, &progress).await?)),
        })
    };
    let bench = tokio::select! {
        bench = opened => bench,
        () = cancel.raised() => Err(Interrupted.into()),
    };
    let bench = bench.inspect_err(|_| tidy(&job))?;
    let (results, ended) = compare::run(&job, &bench, &cancel, &progress).await;
    // Also after a failure: a given server must not keep the run's databases.
    let closed = bench.close().await;
    if let Some(exporter) = &job.exporter {
        exporter.last_look().await;
    }
    progress.bar.finish_and_clear();
    if results.variants().next().is_none() {
        tidy(&job);
        ended?;
        return Err(Interrupted.into());
    }

    // Each whatever becomes of the other: what was measured must reach somebody also when the disk is full, or nobody reads.
    let said = say(&report::terminal(&results, use_color(&std::io::stdout()), comfy_table_width()));
    let paths = report::write(&results, &source, &job.out).with_context(|| unwritable(&job.out))?;
    if load.out.is_none() {
        if let Err(error) = report::point_latest(&home, &job.out) {
            progress.note(&format!("{error}; the report is in its place nevertheless"));
        }
        prune(&home.join("runs"));
    }
    said?;
    say(&format!("\nReport: {}\n", short(&paths.html).display()))?;
    ended?;
    closed?;
    Ok(ExitCode::from(exit_code(&results)))
}

/// Refuses rounds that would not fit into memory.
fn bounded(exercises: &Exercises, load: &LoadOptions) -> Result<(), Usage> {
    for (scenario, _) in exercises {
        if load.closed && scenario.needs_schedule() {
            return Err(Usage {
                message: format!("{} rests on its schedule, and --closed has none", scenario.exercise().id),
                hint: "name exercises without one, such as: compare oversold-stock slow-analytics --closed"
                    .into(),
            });
        }
        let seconds = load.duration.unwrap_or(scenario.shape().duration).as_secs_f64();
        let rate = scenario.total_rate(load.rate);
        if rate * seconds > MOST_REQUESTS {
            return Err(Usage {
                message: format!(
                    "a round of {} of {seconds:.0} s with up to {rate:.0} requests a second is more than {MOST_REQUESTS} requests",
                    scenario.exercise().id,
                ),
                hint: "lower --rate or --duration; more --rounds give more data as well".into(),
            });
        }
    }
    Ok(())
}

/// Raises the limit of open files as far as it goes, for the load and for the servers, which inherit it. Connections that
/// this process could not open would look like those that a server refused.
fn enough_files() -> Result<(), Hinted> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(MOST_FILES, |maximum| maximum.min(MOST_FILES));
    let most = match limit.current {
        Some(current) if current < wanted => {
            let raised = Rlimit { current: Some(wanted), ..limit };
            setrlimit(Resource::Nofile, raised).map_or(current, |()| wanted)
        }
        Some(current) => current,
        None => return Ok(()),
    };
    if most < FILES {
        return Err(Hinted::new(
            format!("this process may open {most} files, and up to {FILES} are needed"),
            format!("raise the limit of open files, such as with: ulimit -n {FILES}"),
        ));
    }
    Ok(())
}

fn unwritable(dir: &Path) -> Hinted {
    Hinted::new(
        format!("the results cannot be kept in {}", dir.display()),
        "name a directory that you can write to, with room for some megabytes, with --out or STAMPEDE_HOME",
    )
}

fn exit_code(results: &Results) -> u8 {
    match results.outcome() {
        _ if !results.complete => INTERRUPTED,
        Outcome::Invalid => INVALID,
        Outcome::Unexpected => UNEXPECTED,
        Outcome::AsExpected => 0,
    }
}

fn source(exercise: &str, variant: &str) -> Option<&'static str> {
    Some(catalogue::exercise(exercise).ok()?.variant(variant).ok()?.source)
}

/// Columns of the terminal; enough for every column where there is none.
fn comfy_table_width() -> u16 {
    Table::new().width().unwrap_or(160)
}

/// The path from here, where it is inside.
fn short(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).into()
}

/// Removes the oldest results in the default directory. What cannot be removed stays; that is no reason to fail a run.
fn prune(runs: &Path) {
    let mut dirs: Vec<PathBuf> =
        std::fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    // Their names are times.
    dirs.sort();
    let mut kept = 0;
    for dir in dirs.iter().rev() {
        if kept == RUNS_KEPT {
            let _ = std::fs::remove_dir_all(dir);
        } else if dir.join("report.html").exists() {
            // What a failed run left counts for nothing, and goes when it is older than the last that is kept.
            kept += 1;
        }
    }
}

fn cancel_on_terminate(cancel: &Cancel) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // The second is what a closed terminal sends.
    for (kind, name) in [(SignalKind::terminate(), "SIGTERM"), (SignalKind::hangup(), "SIGHUP")] {
        let mut received = signal(kind).with_context(|| format!("could not listen for {name}"))?;
        let cancel = cancel.clone();
        tokio::spawn(async move {
            received.recv().await;
            cancel.raise();
        });
    }
    Ok(())
}

async fn open(data: &DataOptions, progress: &Progress) -> anyhow::Result<Lab> {
    let setting = Setting { scale: data.content.scale, seed: data.content.seed, db_rtt: data.db_rtt };
    progress.bar.set_message("starting PostgreSQL");
    Lab::open(setting, &|text| progress.note(text)).await
}

/// Makes the databases that are not there yet.
async fn seed(names: &[DatabaseName], content: ContentOptions) -> anyhow::Result<ExitCode> {
    let options = Options::from_env();
    if options.database_url.is_none() {
        return Err(Usage {
            message: "there is no server that could keep the databases".into(),
            hint: "name one with DATABASE_URL, such as postgres://user:password@host:5432/postgres".into(),
        }
        .into());
    }
    let progress = Progress::new(0);
    let template = seed::template(content.scale, content.seed);
    let postgres = Postgres::obtain(&options, &template, &|text| progress.note(text)).await?;
    progress.bar.finish_and_clear();
    let made = make(&postgres, names).await;
    // Also after a failure: it takes the mark of this run off the server.
    let stopped = postgres.stop().await;
    say(&made?)?;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

async fn make(postgres: &Postgres, names: &[DatabaseName]) -> Result<String, PostgresError> {
    let mut text = String::new();
    for name in names {
        let _ = match postgres.keep_database(name).await? {
            true => writeln!(text, "made the database {}", name.as_str()),
            false => writeln!(text, "the database {} is there already", name.as_str()),
        };
    }
    Ok(text)
}

/// Asks once. The exit code is the one that container engines take for unhealthy.
async fn probe(url: reqwest::Url) -> anyhow::Result<ExitCode> {
    let asked = Api::new(vec![url.clone()], Vec::new())?.bytes(url.as_str(), None).await;
    Ok(match asked {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    })
}

async fn serve(
    port: u16,
    operator_port: u16,
    choice: &target_app::config::Choice,
    replicas: u16,
    data: DataOptions,
) -> anyhow::Result<ExitCode> {
    let variants = choice.resolve().map_err(Usage::from)?;
    enough_files()?;
    // All are held until the last is found free, or two options could name the same port.
    let mut held = Vec::new();
    for (first, option) in [(port, "--port"), (operator_port, "--operator-port")] {
        for number in (0..replicas).filter(|_| first != 0) {
            held.push(free(first, number, option)?);
        }
    }
    drop(held);
    let cancel = Cancel::on_ctrl_c();
    cancel_on_terminate(&cancel)?;
    let progress = Progress::new(0);
    let lab = tokio::select! {
        lab = open(&data, &progress) => lab?,
        // Nobody was served, so nothing was cut short.
        () = cancel.raised() => return Ok(ExitCode::SUCCESS),
    };
    progress.bar.finish_and_clear();
    let deployment = Deployment {
        variants,
        replicas: replicas.into(),
        port,
        operator_port,
        run_id: "serve",
        logs: None,
        name: "serve",
    };
    let served = serve_on(&lab, &deployment, &cancel).await;
    // Also after a failure: a given server must not keep the data.
    let closed = lab.close().await;
    served?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_on(lab: &Lab, deployment: &Deployment<'_>, cancel: &Cancel) -> anyhow::Result<()> {
    let mut deployed = lab.deploy(deployment).await?;
    let mut text = String::new();
    for ready in deployed.addresses() {
        let _ = writeln!(text, "Serving http://{} (operator port http://{})", ready.public, ready.operator);
    }
    for (id, variant) in deployment.variants.entries() {
        let _ = writeln!(text, "  {id:<16} {:<12} {}", variant.name, variant.claim);
    }
    let _ = writeln!(text, "On {}. Ctrl-C stops it and removes the data.", lab.postgres.origin());
    say(&text)?;

    let ended = tokio::select! {
        () = cancel.raised() => None,
        ended = deployed.ended() => Some(ended),
        lost = lab.postgres.lost() => {
            // Nothing can be finished without it. That its database cannot be dropped is no news.
            let _ = deployed.discard().await;
            return Err(lost.into());
        }
    };
    deployed.shut_down().await?;
    match ended {
        None => Ok(()),
        Some(ended) => {
            Err(Hinted::new(ended, "its last words, if it had any, are above; serve again").into())
        }
    }
}

/// The port of replica `number`, if it is free.
fn free(first: u16, number: u16, option: &str) -> Result<TcpListener, Usage> {
    let port = first.checked_add(number).ok_or_else(|| Usage {
        message: format!("{option} {first} leaves no port for server {}: 65535 is the last", number + 1),
        hint: another_port(option),
    })?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| unusable(port, error, option))
}

fn unusable(port: u16, error: std::io::Error, option: &str) -> Usage {
    let message = format!("port {port} on 127.0.0.1 cannot be used: {error}");
    Usage { message, hint: another_port(option) }
}

fn another_port(option: &str) -> String {
    format!("choose another with {option}, or let {option} 0 take a free one")
}

/// A bar on a terminal, lines elsewhere; on standard error, where it disturbs no reader of the tables.
struct Progress {
    bar: ProgressBar,
    terminal: bool,
}

impl Progress {
    fn new(rounds: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(Some(rounds), ProgressDrawTarget::stderr());
        let template = match rounds {
            0 => "{spinner} {msg}",
            _ => "{spinner} {wide_bar} {pos}/{len} rounds, {eta} left  {msg}",
        };
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar, terminal }
    }
}

impl Watch for Progress {
    fn round(&self, exercise: &str, variant: &str, round: u32, rounds: u32) {
        let text = format!("{exercise} {variant}, round {round} of {rounds}");
        match self.terminal {
            true => self.bar.set_message(text),
            false => {
                complain(&format!("[{}/{}] {text}", self.bar.position() + 1, self.bar.length().unwrap_or(0)))
            }
        }
    }

    fn done(&self) {
        self.bar.inc(1);
    }

    fn note(&self, text: &str) {
        match self.terminal {
            true => self.bar.println(text),
            false => complain(text),
        }
    }
}
