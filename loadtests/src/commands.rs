//! What each command does, and how it ends.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::NaiveDateTime;
use clap::{CommandFactory, FromArgMatches};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use scratch_postgres::{DatabaseName, Options, Postgres, PostgresError, default_home};
use similar::{ChangeTag, TextDiff};
use target_app::PROJECT;
use target_app::catalogue::{self, Exercise, Kind, UnknownName};
use target_app::config::ChoiceError;
use target_app::exercises::{self, EXERCISES, TOUR};
use target_app::seed;

use crate::api::Api;
use crate::cli::{Cli, Command, ContentOptions, DataOptions, LoadOptions};
use crate::compare::{self, Bench, Job, ShapeChange, Watch};
use crate::exporter::Exporter;
use crate::hint::Hinted;
use crate::lab::{Deployment, Lab, Setting, database_hint};
use crate::limits;
use crate::load::{Cancel, Mode};
use crate::providers::Operator;
use crate::report;
use crate::report::facts::Outcome;
use crate::report::format;
use crate::results::{Results, Verdict};
use crate::scaffold;
use crate::scenarios::{AnyScenario, SCENARIOS, scenario};

const UNEXPECTED: u8 = 1;
const USAGE: u8 = 2;
const INVALID: u8 = 3;
const INTERRUPTED: u8 = 130;

/// What clap shows to somebody who typed no command at all.
const SHORT_HELP: clap::error::ErrorKind = clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;

/// Requests in one round, at most: all of them are planned, and kept in memory, before the first is sent.
const MOST_REQUESTS: f64 = 1e6;

/// Results of earlier runs that are kept in the default directory.
const RUNS_KEPT: usize = 20;

/// How the directories of runs are named in the default directory: in the order of time.
const RUN_NAME: &str = "%Y-%m-%d-%H%M%S-%3f";

/// Columns where there is no terminal, or one that does not know its width: enough for every column of the table.
const COLUMNS: u16 = 160;

/// Columns of a terminal in which the table of `list` has room for more than names.
const FOR_SENTENCES: u16 = 60;

/// The remedy for a full disk.
const MAKE_ROOM: &str =
    "free some room there, or set STAMPEDE_HOME, or name --out, to directories on a disk that has more";

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
        let hints: Vec<&str> = tips.chain(["see --help"]).collect();
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
    // Broken pipes end the reader's interest, not the run: the reports are on disk.
    let done = match cli.command {
        // The servers bring their own runtimes and their own logs.
        Command::Server(config) => return server(config),
        Command::Reference(config) => return crate::reference::run(config),
        Command::Providers(config) => return crate::providers::run(config),
        Command::List { json: false } => say(&list()),
        Command::List { json: true } => list_json().and_then(|list| say(&list)),
        Command::Diff { id, from, to } => match diff(&id, &from, &to) {
            Ok(text) => say(&text),
            Err(unknown) => Err(Usage::from(unknown).into()),
        },
        Command::Compare { ids, all, load } => in_runtime(compare(&ids, all, load)),
        #[cfg(feature = "corpus")]
        Command::Corpus { ids, contracts, load } => in_runtime(corpus(&ids, contracts, load)),
        Command::Run { id, variants, load } => in_runtime(run(&id, &variants, load)),
        Command::Check { id, url, providers, load } => in_runtime(check(&id, url, providers, load)),
        Command::Serve { port, operator_port, choice, replicas, data } => {
            in_runtime(serve(port, operator_port, &choice, replicas, data))
        }
        Command::Seed { names, content } => in_runtime(seed(&names, content)),
        Command::New { id, route } => scaffold::run(&id, route).and_then(|text| say(&text)),
        Command::Probe { url } => in_runtime(probe(url)),
    };
    done.unwrap_or_else(|error| fail(&error))
}

/// Runs the server under test. What it says goes to its log, of which the lab shows the last line.
fn server(config: target_app::config::Config) -> ExitCode {
    // It has a second runtime, for its operator port.
    match limits::enough_threads(2 * limits::threads_of_one()) {
        Ok(()) => target_app::server::run(config),
        Err(error) => {
            complain(&format!("error: {error}; {}", error.hint));
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    limits::enough_threads(limits::threads_of_one())?;
    let runtime = tokio::runtime::Runtime::new().context("could not start the async runtime")?;
    runtime.block_on(command)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let mut text = format!("error: {error:#}");
    let usage = error.downcast_ref::<Usage>();
    let hint = (usage.map(|usage| usage.hint.clone()))
        .or_else(|| Some(error.downcast_ref::<Hinted>()?.hint.clone()))
        .or_else(|| is_disk_full(error).then(|| MAKE_ROOM.into()))
        .or_else(|| error.downcast_ref::<PostgresError>().map(database_hint));
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

/// Whether it came to this because a disk is full: ours, or that of a database server, which has a code for it.
fn is_disk_full(error: &anyhow::Error) -> bool {
    if let Some(PostgresError::Sql { reason, .. }) = error.downcast_ref() {
        return reason.as_database_error().is_some_and(|error| error.code().as_deref() == Some("53100"));
    }
    error.chain().filter_map(|cause| cause.downcast_ref()).any(is_no_room)
}

fn is_no_room(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Prints to standard error, unless its reader has left: `eprintln!` would panic.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The scenarios of these exercises.
fn scenarios<'a>(ids: impl Iterator<Item = &'a str>) -> Result<Vec<&'static dyn AnyScenario>, Usage> {
    Ok(ids.map(scenario).collect::<Result<_, _>>()?)
}

async fn compare(ids: &[String], all: bool, load: LoadOptions) -> anyhow::Result<ExitCode> {
    let is_tour = ids.is_empty() && !all;
    let chosen = if all {
        SCENARIOS.to_vec()
    } else if is_tour {
        scenarios(TOUR.iter().map(|exercise| exercise.id))?
    } else {
        scenarios(unique(ids))?
    };
    let with_variants =
        |scenario: &'static dyn AnyScenario| (scenario, scenario.spec().exercise.variants.iter().collect());
    let manner = Manner { is_tour, is_brief: all, ..Manner::default() };
    measure(chosen.into_iter().map(with_variants).collect(), manner, load).await
}

#[cfg(feature = "corpus")]
async fn corpus(ids: &[String], only_contracts: bool, load: LoadOptions) -> anyhow::Result<ExitCode> {
    let chosen = if ids.is_empty() { SCENARIOS.to_vec() } else { scenarios(unique(ids))? };
    let with_solutions =
        |scenario: &'static dyn AnyScenario| (scenario, scenario.spec().exercise.corpus.iter().collect());
    let manner = Manner { only_contracts, corpus: true, ..Manner::default() };
    measure(chosen.into_iter().map(with_solutions).collect(), manner, load).await
}

async fn run(id: &str, variants: &[String], load: LoadOptions) -> anyhow::Result<ExitCode> {
    let scenario = scenario(id).map_err(Usage::from)?;
    let variants =
        unique(variants).map(|name| scenario.spec().exercise.variant(name)).collect::<Result<_, _>>();
    measure(vec![(scenario, variants.map_err(Usage::from)?)], Manner::default(), load).await
}

async fn check(
    id: &str,
    url: Option<reqwest::Url>,
    providers: Option<reqwest::Url>,
    load: LoadOptions,
) -> anyhow::Result<ExitCode> {
    let scenario = scenario(id).map_err(Usage::from)?;
    refuse_wrong_providers(scenario, url.is_some(), providers.is_some())?;
    let edited = scenario.spec().exercise.variant("buggy").map_err(Usage::from)?;
    if url.is_none() {
        not_stale(id)?;
    }
    let solution = Some(if url.is_some() { "your server" } else { "your edit" });
    measure(vec![(scenario, vec![edited])], Manner { solution, url, providers, ..Manner::default() }, load)
        .await
}

/// Whether, and how, this program differs from the source on the disk.
fn stale() -> Option<String> {
    let changed = target_app::source::changed();
    let files = match changed.as_slice() {
        [] => return None,
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, .., _] => format!("{one} and {} other files", changed.len() - 1),
    };
    Some(format!("this program was built before the last change of {files}"))
}

/// A check is of the edit on the disk. A program that was built before it would judge other code.
fn not_stale(id: &str) -> Result<(), Hinted> {
    match stale() {
        None => Ok(()),
        Some(why) => Err(Hinted::new(
            format!("{why}, and cannot judge it"),
            format!("build it and check again with: cargo run --release -- check {id}"),
        )),
    }
}

/// Other commands are for the variants as they were built, which somebody may keep on purpose to compare two builds.
fn warn_if_stale() {
    if let Some(why) = stale() {
        complain(&format!(
            "warning: {why}, and measures the code as it was (hint: cargo run --release builds it first)"
        ));
    }
}

/// The names, each once, in the order in which they were typed.
fn unique(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().enumerate().filter(|(n, name)| !names[..*n].contains(name)).map(|(_, name)| name.as_str())
}

/// Prints to standard output. A reader who has left is no error.
fn say(text: &str) -> anyhow::Result<ExitCode> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("could not print"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn use_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

fn list_json() -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(EXERCISES)?))
}

fn list() -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns());
    table.set_header(["exercise", "what users report", "variants", "must fail"]);
    for exercise in EXERCISES {
        let column = |cell: fn(&catalogue::Variant) -> String| {
            exercise.variants.iter().map(cell).collect::<Vec<_>>().join("\n")
        };
        let names = column(|variant| variant.name.into());
        let predicted = column(|variant| variant.must_fail.join(", "));
        table.add_row([exercise.id, exercise.symptom, &names, &predicted]);
    }
    // Names are what one types next: they never break.
    for column in [0, 2] {
        table.column_mut(column).expect("there are four").set_constraint(ColumnConstraint::ContentWidth);
    }
    // Sentences of one letter a line are no use to anybody.
    if columns() < FOR_SENTENCES {
        for column in [1, 3] {
            table.column_mut(column).expect("there are four").set_constraint(ColumnConstraint::Hidden);
        }
    }
    let table = table.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    format!("{table}\nEach has a page: docs/exercises/<exercise>.md\n")
}

fn diff(id: &str, from: &str, to: &str) -> Result<String, UnknownName> {
    let exercise = exercises::exercise(id)?;
    let (from, to) = (exercise.variant(from)?, exercise.variant(to)?);
    let color = use_color(&std::io::stdout());
    let paint = |code: &str, line: &str| {
        if color { format!("\x1b[{code}m{line}\x1b[0m\n") } else { format!("{line}\n") }
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

/// Refuses to judge a server without the providers that its exercise is about, and with some that it is not about.
fn refuse_wrong_providers(
    scenario: &dyn AnyScenario,
    is_foreign: bool,
    are_named: bool,
) -> Result<(), Usage> {
    let id = scenario.spec().exercise.id;
    let (message, hint) = match (scenario.spec().providers, are_named) {
        (true, false) if is_foreign => (
            format!("{id} needs the simulated providers that your server calls"),
            "start `stampede serve`, have your server call its providers, and name their operator port with --providers",
        ),
        (false, true) => (format!("a server calls no providers in {id}"), "leave out --providers"),
        _ => return Ok(()),
    };
    Err(Usage { message, hint: hint.into() })
}

type Exercises = Vec<(&'static dyn AnyScenario, Vec<&'static catalogue::Variant>)>;

/// How exercises are measured.
#[derive(Default)]
struct Manner {
    /// What stands in the variant's place.
    solution: Option<&'static str>,
    /// A server that somebody else runs.
    url: Option<reqwest::Url>,
    /// The operator port of the simulated providers that it calls.
    providers: Option<reqwest::Url>,
    /// No load is sent.
    only_contracts: bool,
    /// The variants are solutions by which the judge is judged.
    corpus: bool,
    /// The exercises are those of the tour, because none was named.
    is_tour: bool,
    /// The terminal gets a line per variant rather than a table per exercise.
    is_brief: bool,
}

/// Runs the exercises, writes the reports, prints the tables.
async fn measure(
    exercises: Exercises,
    Manner { solution, url, providers, only_contracts, corpus, is_tour, is_brief }: Manner,
    load: LoadOptions,
) -> anyhow::Result<ExitCode> {
    refuse_oversized(&exercises, &load)?;
    limits::enough_files()?;
    if url.is_none() {
        let own = exercises.iter().map(|(scenario, _)| scenario.spec().shape.replicas).max().unwrap_or(1);
        let servers = load.replicas.map_or(own, usize::from);
        limits::enough_threads(limits::threads_of_lab(servers, load.data.db_rtt))?;
    }
    if let Some(out) = &load.out {
        refuse_foreign_files(out)?;
    }
    if let (Some(url), Some(port)) = (&url, load.metrics_port)
        && matches!(url.host_str(), Some("127.0.0.1" | "localhost"))
        && url.port_or_known_default() == Some(port)
    {
        return Err(Usage {
            message: format!("--url and --metrics-port both name port {port}"),
            hint: another_port("--metrics-port"),
        }
        .into());
    }
    // A check has refused already.
    if url.is_none() && solution.is_none() {
        warn_if_stale();
    }
    let cancel = Cancel::on_ctrl_c();
    cancel_on_terminate(&cancel)?;
    let home = default_home(PROJECT);
    let started = chrono::Local::now().format(RUN_NAME).to_string();
    let out = load.out.clone().unwrap_or_else(|| home.join("runs").join(started));
    let default_rounds = if load.quick || corpus || url.is_some() { 1 } else { 2 };
    let rounds = load.rounds.unwrap_or(default_rounds);
    let job = Job {
        solution,
        only_contracts,
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
    let is_new = !job.out.exists();
    std::fs::create_dir_all(job.logs()).map_err(|error| not_written(&job.out, error))?;
    let tidy = |job: &Job| {
        // Only what is empty, and was made here: a server's last words stay, and so does a directory that was there.
        if std::fs::remove_dir(job.logs()).is_ok() && is_new {
            let _ = std::fs::remove_dir(&job.out);
        }
    };

    let total: usize = job.exercises.iter().map(|(_, variants)| variants.len() * rounds as usize).sum();
    let ids = job.exercises.iter().map(|(scenario, _)| scenario.spec().exercise.id).collect();
    let progress = Progress::new(total as u64, ids);
    if let Some(exporter) = &job.exporter {
        let address = exporter.address;
        progress.note(&format!(
            "metrics of the load: http://{address}/metrics, servers under test: http://{address}/targets"
        ));
    }
    let opened = async {
        anyhow::Ok(match url {
            Some(url) => {
                progress.note(&format!("checking that {url} responds"));
                let api = Api::new(vec![url], Vec::new())?;
                api.probe().await?;
                Bench::Foreign(Box::new(match providers {
                    Some(providers) => api.with_providers(Operator::reach(providers).await?),
                    None => api,
                }))
            }
            None => Bench::Lab(Box::new(open(&load.data, &progress).await?)),
        })
    };
    let bench = tokio::select! {
        bench = opened => bench,
        () = cancel.raised() => Err(Interrupted.into()),
    };
    let bench = bench.inspect_err(|_| tidy(&job))?;
    let (results, mut ended) = compare::run(&job, &bench, &cancel, &progress).await;
    // Now, since the data that goes with the bench leaves room. Nobody says better why a server failed, and of one that only
    // answered with errors nothing is proven.
    let is_private = matches!(bench, Bench::Lab(_)) && Options::from_env(PROJECT).database_url.is_none();
    let dirs = [job.out.as_path()].into_iter().chain(is_private.then_some(home.as_path()));
    if let Some(dir) = limits::full(dirs).filter(|_| !cancel.is_raised()) {
        let full = format!("no space left on {} at the end of the load", dir.display());
        let full = Hinted::new(full, MAKE_ROOM);
        ended = Err(match ended {
            Ok(()) => full.into(),
            Err(error) => error.context(full),
        });
    }
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
    let in_terminal = if is_brief { report::brief } else { report::terminal };
    let said = say(&in_terminal(&results, use_color(&std::io::stdout()), columns()));
    let paths = report::write(&results, &source, &job.out).map_err(|error| not_written(&job.out, error))?;
    if load.out.is_none() {
        if let Err(error) = report::point_latest(&home, &job.out) {
            progress.note(&format!("{error}; the report itself was written"));
        }
        prune(&home.join("runs"));
    }
    said?;
    if corpus {
        say(&rates(&results))?;
    }
    if is_tour
        && results.complete
        && let Some(note) = tour_note(TOUR, EXERCISES, results.duration_seconds)
    {
        say(&format!("\n{note}\n"))?;
    }
    say(&format!("\nReport: {}\n", short(&paths.html).display()))?;
    ended?;
    closed?;
    Ok(ExitCode::from(exit_code(&results)))
}

/// That a tour is not everything, and how to compare the rest; nothing where the tour has all exercises.
fn tour_note(tour: &[&Exercise], all: &[&Exercise], seconds: f64) -> Option<String> {
    if tour.len() >= all.len() {
        return None;
    }
    let variants = |exercises: &[&Exercise]| exercises.iter().map(|one| one.variants.len()).sum::<usize>();
    // Variants take about as long as one another.
    let seconds = seconds * variants(all) as f64 / variants(tour) as f64;
    Some(format!(
        "This was a tour of {} of the {} exercises. `stampede compare --all` proves all of them,\n\
         which takes about {} with the same options.",
        tour.len(),
        all.len(),
        format::rough_time(seconds)
    ))
}

/// How often the judge was right about the solutions of a corpus.
fn rates(results: &Results) -> String {
    let mut text = String::new();
    for (kind, what, verdict) in
        [(Kind::Tempting, "wrong", Verdict::Exposed), (Kind::Fixed, "right", Verdict::Clean)]
    {
        let of_kind = || results.variants().filter(|(_, variant)| variant.kind == kind.to_string());
        let rightly = of_kind().filter(|(_, variant)| variant.verdict == verdict).count();
        let _ = writeln!(text, "{rightly} of {} {what} solutions came out {verdict}", of_kind().count());
    }
    text
}

/// Refuses rounds that would not fit into memory.
fn refuse_oversized(exercises: &Exercises, load: &LoadOptions) -> Result<(), Usage> {
    for (scenario, _) in exercises {
        if load.closed && scenario.spec().needs_schedule {
            return Err(Usage {
                message: format!(
                    "{} needs a fixed schedule, which --closed does not have",
                    scenario.spec().exercise.id
                ),
                hint:
                    "name exercises that need none, such as: compare oversold-stock slow-analytics --closed"
                        .into(),
            });
        }
        let seconds = load.duration.unwrap_or(scenario.spec().shape.duration).as_secs_f64();
        let rate = (scenario.spec().total_rate)(load.rate);
        if rate * seconds > MOST_REQUESTS {
            return Err(Usage {
                message: format!(
                    "a round of {} of {seconds:.0} s with up to {rate:.0} requests a second is more than {MOST_REQUESTS} requests",
                    scenario.spec().exercise.id,
                ),
                hint: "lower --rate or --duration; more --rounds give more data as well".into(),
            });
        }
    }
    Ok(())
}

/// Results that cannot be kept, with the remedy.
fn not_written(dir: &Path, error: std::io::Error) -> anyhow::Error {
    let dir = dir.display();
    let hinted = if is_no_room(&error) {
        Hinted::new(format!("no space left on {dir} for the results"), MAKE_ROOM)
    } else {
        Hinted::new(
            format!("the results cannot be kept in {dir}"),
            "name a directory that you can write to, with room for some megabytes, with --out or STAMPEDE_HOME",
        )
    };
    anyhow::Error::new(error).context(hinted)
}

/// Refuses a directory in which the results would replace, or lie among, what no run wrote.
fn refuse_foreign_files(dir: &Path) -> anyhow::Result<()> {
    match report::foreign(dir).map_err(|error| not_written(dir, error))? {
        None => Ok(()),
        Some(path) => Err(Usage {
            message: format!("--out {} holds {}, which no run wrote", dir.display(), path.display()),
            hint: format!(
                "name a directory that is new, empty, or holds an earlier run's results, such as --out {}",
                dir.join("stampede").display()
            ),
        }
        .into()),
    }
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
    Some(exercises::exercise(exercise).ok()?.variant(variant).ok()?.source)
}

/// Columns of the terminal. Some say 0, which is none that text could be broken to.
fn columns() -> u16 {
    Table::new().width().filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

/// The path from here, where it is inside.
fn short(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).into()
}

/// Removes the oldest results in the default directory. What cannot be removed stays; that is no reason to fail a run.
fn prune(runs: &Path) {
    // What somebody put there under another name is not ours.
    let is_run = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        NaiveDateTime::parse_from_str(&name, RUN_NAME).is_ok()
    };
    let mut dirs: Vec<PathBuf> = std::fs::read_dir(runs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(is_run)
        .collect();
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

/// Creates the databases that do not exist yet.
async fn seed(names: &[DatabaseName], content: ContentOptions) -> anyhow::Result<ExitCode> {
    let options = Options::from_env(PROJECT);
    if options.database_url.is_none() {
        return Err(Usage {
            message: "no database server is configured".into(),
            hint: "name one with DATABASE_URL, such as postgres://user:password@host:5432/postgres".into(),
        }
        .into());
    }
    let progress = Progress::without_rounds();
    let template = seed::template(content.scale, content.seed);
    let postgres = Postgres::obtain(&options, &template, &|text| progress.note(text)).await?;
    progress.bar.finish_and_clear();
    let made = create_databases(&postgres, names).await;
    // Also after a failure: it takes the mark of this run off the server.
    let stopped = postgres.stop().await;
    say(&made?)?;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

async fn create_databases(postgres: &Postgres, names: &[DatabaseName]) -> Result<String, PostgresError> {
    let mut text = String::new();
    for name in names {
        let _ = if postgres.keep_database(name).await? {
            writeln!(text, "created database {}", name.as_str())
        } else {
            writeln!(text, "database {} already exists", name.as_str())
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
    limits::enough_files()?;
    limits::enough_threads(limits::threads_of_lab(replicas.into(), data.db_rtt))?;
    refuse_shared_ports(port, operator_port, replicas)?;
    for (first, option) in [(port, "--port"), (operator_port, "--operator-port")] {
        for number in (0..replicas).filter(|_| first != 0) {
            refuse_used_port(first, number, option)?;
        }
    }
    let cancel = Cancel::on_ctrl_c();
    cancel_on_terminate(&cancel)?;
    warn_if_stale();
    let progress = Progress::without_rounds();
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
        options: &[],
        providers: Some(data.content.seed),
        data_gauge: None,
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
    let deployed = lab.deploy(deployment).await?;
    let mut text = String::new();
    for ready in deployed.addresses() {
        let _ = writeln!(text, "Serving http://{} (operator port http://{})", ready.public, ready.operator);
    }
    if let Some(ready) = deployed.providers() {
        let _ = writeln!(
            text,
            "Simulated providers at http://{} (operator port http://{})",
            ready.public, ready.operator
        );
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
            Err(Hinted::new(ended, "its last log lines, if any, are above; start it again").into())
        }
    }
}

/// Refuses a port that two options name. Each takes one for each replica, unless it takes free ones.
fn refuse_shared_ports(port: u16, operator_port: u16, replicas: u16) -> Result<(), Usage> {
    if port == 0 || operator_port == 0 || port.abs_diff(operator_port) >= replicas {
        return Ok(());
    }
    let twice = port.max(operator_port);
    let message = match replicas {
        1 => format!("--port and --operator-port both name port {twice}"),
        more => format!(
            "{more} servers take {more} ports in a row each from --port {port} and --operator-port {operator_port}, and \
             so port {twice} twice"
        ),
    };
    Err(Usage { message, hint: another_port("--operator-port") })
}

/// Refuses a port of replica `number` that is not free.
fn refuse_used_port(first: u16, number: u16, option: &str) -> Result<(), Usage> {
    let port = first.checked_add(number).ok_or_else(|| Usage {
        message: format!("{option} {first} leaves no port for server {}: 65535 is the last", number + 1),
        hint: another_port(option),
    })?;
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    bound.map(drop).map_err(|error| unusable(port, error, option))
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
    is_terminal: bool,
    /// Ids of what is measured, in this order.
    exercises: Vec<&'static str>,
}

impl Progress {
    /// Of a command that measures nothing.
    fn without_rounds() -> Self {
        Progress::new(0, Vec::new())
    }

    fn new(rounds: u64, exercises: Vec<&'static str>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(Some(rounds), ProgressDrawTarget::stderr());
        let template = match rounds {
            0 => "{spinner} {msg}",
            _ => "{spinner} {wide_bar} {pos}/{len} rounds{prefix}  {msg}",
        };
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar, is_terminal, exercises }
    }

    /// Which of the exercises this one is, where there are several.
    fn place(&self, exercise: &str) -> Option<String> {
        let place = self.exercises.iter().position(|id| *id == exercise)?;
        let total = self.exercises.len();
        (total > 1).then(|| format!("exercise {} of {total}: ", place + 1))
    }

    /// What is left, if it takes as long as what is done.
    fn left(&self) -> Option<String> {
        let (done, total) = (self.bar.position(), self.bar.length()?);
        if done == 0 {
            return None;
        }
        let seconds = self.bar.elapsed().as_secs_f64() / done as f64 * total.saturating_sub(done) as f64;
        Some(format!(", about {} left", format::rough_time(seconds)))
    }
}

impl Watch for Progress {
    fn round(&self, exercise: &str, variant: &str, round: u32, rounds: u32) {
        if self.bar.position() == 0 {
            // The start of PostgreSQL says nothing about the rounds.
            self.bar.reset_elapsed();
        }
        let place = self.place(exercise).unwrap_or_default();
        let left = self.left().unwrap_or_default();
        let text = format!("{place}{exercise} {variant}, round {round} of {rounds}");
        if self.is_terminal {
            // A narrow terminal cuts off the end, which is the text.
            self.bar.set_prefix(left);
            self.bar.set_message(text);
        } else {
            let (number, total) = (self.bar.position() + 1, self.bar.length().unwrap_or(0));
            complain(&format!("[{number}/{total}] {text}{left}"));
        }
    }

    fn done(&self) {
        self.bar.inc(1);
    }

    fn note(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(text);
        } else {
            complain(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_tour_says_how_many_exercises_there_are_unless_it_has_all() {
        assert_eq!(tour_note(TOUR, TOUR, 90.0), None);
        // 5 of 12 variants.
        let note = tour_note(&TOUR[..1], TOUR, 45.0).unwrap();
        let [first, second] = note.lines().collect::<Vec<_>>()[..] else { panic!("{note}") };
        assert_eq!(
            first,
            "This was a tour of 1 of the 3 exercises. `stampede compare --all` proves all of them,"
        );
        assert_eq!(second, "which takes about 2 min with the same options.");
    }

    #[test]
    fn of_old_results_only_those_go_that_a_run_has_named() {
        let runs = tempfile::tempdir().unwrap();
        for day in 1..=RUNS_KEPT + 2 {
            let run = runs.path().join(format!("2026-01-{day:02}-120000-007"));
            fs::create_dir(&run).unwrap();
            fs::write(run.join("report.html"), "").unwrap();
        }
        fs::create_dir(runs.path().join("1-before-the-fix")).unwrap();
        prune(runs.path());
        let mut left: Vec<_> = fs::read_dir(runs.path())
            .unwrap()
            .map(|run| run.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left.len(), RUNS_KEPT + 1);
        assert_eq!(left[..2], ["1-before-the-fix", "2026-01-03-120000-007"]);
    }
}
