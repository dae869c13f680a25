//! The command line: every command, option and default in one place.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use reqwest::Url;
use scratch_postgres::{DatabaseName, DatabaseNameError};
use target_app::PROJECT;
use target_app::config::{Choice, Config, db_rtt};
use target_app::seed::Scale;

use crate::scaffold::{NewId, NewRoute};

/// A load-testing lab: realistic backend bugs, the fixes people try, and load that tells them apart.
///
/// Each exercise is one bug in several variants: the code that shipped (buggy), fixes that look right but are not
/// (tempting), and a fix that works (fixed). Stampede puts every variant under the same load, checks latencies and data
/// afterwards, and gives each variant a verdict.
///
/// No set-up is needed. Unless DATABASE_URL is set, Stampede starts a private PostgreSQL and removes it afterwards.
#[derive(Debug, Parser)]
#[command(name = "stampede", version, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

// Of lines that a terminal of 80 columns need not break: clap would break them without their indent.
const AFTER_HELP: &str = "\
Begin with:
  stampede compare                take a tour: judge a few exercises
  stampede compare --all          judge all exercises
  stampede diff oversold-stock    see what the fix changed
  stampede check oversold-stock   judge your own edit of its buggy.rs
  stampede serve --all buggy      serve the broken shop on port 3000

Environment:
  DATABASE_URL            use this PostgreSQL server (15 or newer); its user
                          must be allowed to create databases
  STAMPEDE_POSTGRES_BIN   use the server binaries in this directory, or fetch
                          them: 'portable'
  STAMPEDE_HOME           keep clusters, caches and results here
                          (default: target/stampede)
  NO_COLOR                print without colours";

const EXIT_CODES: &str = "\
Exit codes:
  0    every variant came out as expected
  1    at least one did not
  2    the command line is wrong
  3    the run is invalid (a saturated generator, too few requests) or could
       not start
  130  interrupted; the results so far are kept and marked as partial";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the exercises and their variants
    List {
        /// Print JSON, for scripts: id, title, symptom, routes, variants and checks of each exercise
        #[arg(long)]
        json: bool,
    },

    /// Put all variants of each exercise under the same load, judge and compare them
    #[command(after_help = EXIT_CODES)]
    Compare {
        /// Exercises to compare, as listed by `stampede list` [default: a short tour]
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Compare all exercises. Prints one line per variant, and details only for variants that did not come out as
        /// expected
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        load: LoadOptions,
    },

    /// Measure how often verdicts are right, on solutions known to be right or wrong
    #[cfg(feature = "corpus")]
    #[command(after_help = EXIT_CODES)]
    Corpus {
        /// Exercises to run [default: all]
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Only check the contracts, without load; right solutions must keep them, wrong ones may
        #[arg(long)]
        contracts: bool,
        #[command(flatten)]
        load: LoadOptions,
    },

    /// Put the named variants of one exercise under load and judge them
    #[command(after_help = EXIT_CODES)]
    Run {
        /// The exercise, such as oversold-stock (see `stampede list`)
        id: String,
        /// A variant, such as fixed; may be given several times
        #[arg(long = "variant", value_name = "NAME", required = true, allow_hyphen_values = true)]
        variants: Vec<String>,
        #[command(flatten)]
        load: LoadOptions,
    },

    /// Judge your own solution: your edit of an exercise's buggy.rs, or a server of your own
    ///
    /// Checks look at behaviour, never at source. Any solution that keeps the promises passes; a stub does not.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The exercise, such as oversold-stock (see `stampede list`)
        id: String,
        /// Judge the server at this address instead, over HTTP. The load changes its data, so use a throw-away database
        #[arg(long, value_name = "URL", value_parser = http_url, allow_hyphen_values = true,
              conflicts_with_all = ["replicas", "db_rtt", "scale"])]
        url: Option<Url>,
        /// The operator port of the simulated providers that the server at --url calls, such as those of `stampede serve`. Exercises that
        /// pay need it
        #[arg(long, value_name = "URL", value_parser = http_url, allow_hyphen_values = true, requires = "url")]
        providers: Option<Url>,
        #[command(flatten)]
        load: LoadOptions,
    },

    /// Serve the backend for other tools (curl, k6, oha) until Ctrl-C
    Serve {
        /// Port of the public API on 127.0.0.1; replicas use the ports after it; 0 picks free ports
        #[arg(long, default_value_t = 3000, value_parser = whole(0..=u16::MAX), allow_hyphen_values = true)]
        port: u16,
        /// Port for metrics, readiness and run info; 0 picks a free port
        #[arg(long, default_value_t = 0, value_name = "PORT", value_parser = whole(0..=u16::MAX), allow_hyphen_values = true)]
        operator_port: u16,
        #[command(flatten)]
        choice: Choice,
        /// Number of servers that share the database
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = whole(1..=16_u16), allow_hyphen_values = true)]
        replicas: u16,
        #[command(flatten)]
        data: DataOptions,
    },

    /// Create seeded databases on the server in DATABASE_URL and keep them
    ///
    /// A database that already exists is left unchanged. Use them for a server of your own, such as one in a container.
    Seed {
        /// Names of the databases to create, such as shop
        #[arg(value_name = "DATABASE", required = true, value_parser = database_name)]
        names: Vec<DatabaseName>,
        #[command(flatten)]
        content: ContentOptions,
    },

    /// Show the difference between two variants of an exercise
    Diff {
        /// The exercise, such as oversold-stock (see `stampede list`)
        id: String,
        /// The variant to start from
        #[arg(default_value = "buggy")]
        from: String,
        /// The variant to compare with it
        #[arg(default_value = "fixed")]
        to: String,
    },

    /// Start a new exercise: write its files, with a TODO for each thing to decide
    ///
    /// For contributors and instructors. It writes into the source that this program was built from. The files compile, and
    /// their tests fail with what to write next. docs/adding-an-exercise.md leads through the steps.
    New {
        /// The symptom in lower-case words joined by hyphens, never the cause, such as slow-order-list
        id: NewId,
        /// The route that it is about, such as 'GET /orders/{userId}' [default: GET /ID]
        #[arg(long, value_name = "ROUTE", allow_hyphen_values = true)]
        route: Option<NewRoute>,
    },

    /// Ask a server one question: whether the GET succeeds is the exit code. For health checks where there is no curl
    #[command(hide = true)]
    Probe {
        /// What to ask for, such as http://127.0.0.1:3000/health
        url: Url,
    },

    /// The server under test
    #[command(hide = true, name = crate::lab::SERVER)]
    Server(Config),

    /// The server that shows what the machine itself does to a request
    #[command(hide = true, name = crate::reference::SUBCOMMAND)]
    Reference(crate::reference::Config),

    /// The outside services that the server under test calls
    #[command(hide = true, name = crate::providers::SUBCOMMAND)]
    Providers(crate::providers::Config),
}

#[derive(Debug, Clone, Args)]
pub struct ContentOptions {
    /// Amount of seeded data: small, medium (10,000 orders) or large (1,000,000 orders)
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, allow_hyphen_values = true)]
    pub scale: Scale,

    /// Seed of the data, the request schedule and the order of the rounds
    #[arg(long, default_value_t = 42, value_parser = whole(0..=u64::MAX), allow_hyphen_values = true)]
    pub seed: u64,
}

#[derive(Debug, Clone, Args)]
pub struct DataOptions {
    #[command(flatten)]
    pub content: ContentOptions,

    /// Extra latency for every round trip to the database, such as 500us or 2ms
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = db_rtt, allow_hyphen_values = true)]
    pub db_rtt: Duration,
}

#[derive(Debug, Clone, Args)]
pub struct LoadOptions {
    /// Requests per second of the exercise's main kind [default: depends on the exercise]
    #[arg(long, value_parser = rate, allow_hyphen_values = true)]
    pub rate: Option<f64>,

    /// Length of each round, such as 5s [default: depends on the exercise]
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,

    /// Rounds per variant, interleaved in ABBA order [default: 2]
    #[arg(long, value_name = "N", value_parser = whole(1..=100_u32), allow_hyphen_values = true)]
    pub rounds: Option<u32>,

    /// Number of servers that share the database [default: depends on the exercise]
    #[arg(long, value_name = "N", value_parser = whole(1..=16_u16), allow_hyphen_values = true)]
    pub replicas: Option<u16>,

    /// Run one round per variant: a first look, not a proof
    #[arg(long, conflicts_with = "rounds")]
    pub quick: bool,

    /// Make each user wait for a response before the next request, as simple load tools do. This hides how a slow server
    /// delays the requests that arrive meanwhile
    #[arg(long)]
    pub closed: bool,

    /// Port on 127.0.0.1 for Prometheus during the run: the load generator's metrics (/metrics) and the servers under test
    /// (/targets, for HTTP service discovery); 0 picks a free port
    #[arg(long, value_name = "PORT", value_parser = whole(0..=u16::MAX), allow_hyphen_values = true)]
    pub metrics_port: Option<u16>,

    /// Directory for the results. It must be new, empty, or hold the results of an earlier run, which are replaced
    /// [default: target/stampede/runs/TIME]
    #[arg(long, value_name = "DIR", value_parser = PathBufValueParser::new().try_map(directory),
          allow_hyphen_values = true)]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub data: DataOptions,
}

/// Parses a whole number of this range.
fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("write a whole number from {} to {}", range.start(), range.end()))
    }
}

fn database_name(text: &str) -> Result<DatabaseName, String> {
    DatabaseName::new(PROJECT, text).map_err(|error| match error {
        DatabaseNameError::Taken { prefix } => {
            format!("names that begin with {prefix} are the lab's own, and their databases are removed")
        }
        error => error.to_string(),
    })
}

fn directory(path: PathBuf) -> Result<PathBuf, &'static str> {
    // More likely the next option than a directory.
    match path.as_os_str().as_encoded_bytes().first() {
        Some(b'-') => Err("a directory whose name begins with a hyphen is written as ./-name"),
        _ => Ok(path),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 100_000.0 => Ok(rate),
        Ok(_) => Err("a rate is more than 0 and at most 100000 requests a second".into()),
        Err(_) => Err("a rate is a number of requests a second, such as 200".into()),
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    match humantime::parse_duration(text) {
        Ok(duration) if (1.0..=3600.0).contains(&duration.as_secs_f64()) => Ok(duration),
        Ok(_) => Err("a round lasts between 1s and 1h"),
        Err(_) => Err("write a time with its unit, such as 5s or 1m 30s"),
    }
}

fn http_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        // The routes begin at the root, so a path would be dropped without a word.
        Ok(url)
            if url.scheme() == "http"
                && url.has_host()
                && url.path() == "/"
                && [url.query(), url.fragment(), url.password()].iter().all(Option::is_none)
                && url.username().is_empty() =>
        {
            Ok(url)
        }
        _ => Err(
            "a server's address looks like http://127.0.0.1:3000, with neither TLS, a password nor a path"
                .into(),
        ),
    }
}
