//! The command line: every command, option and default in one place.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use reqwest::Url;
use target_app::config::{Choice, Config, db_rtt};
use target_app::postgres::DatabaseName;
use target_app::seed::Scale;

/// The load-testing lab that proves what others only claim.
///
/// A reference backend has sincere defects. Each exercise puts one of them under honest load in all its variants: what
/// shipped (buggy), fixes that look right (tempting) and the fix that holds (fixed). A run ends with an audit of the data
/// beside the latencies, and a verdict for each variant.
///
/// No set-up is needed: without DATABASE_URL, a private PostgreSQL is started and removed again.
#[derive(Debug, Parser)]
#[command(name = "stampede", version, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

// Of lines that a terminal of 80 columns need not break: clap would break them without their indent.
const AFTER_HELP: &str = "\
Begin with:
  stampede compare                all exercises and variants, and a report
  stampede diff oversold-stock    what the fix changed: the lesson
  stampede check oversold-stock   judge your own edit of its buggy.rs
  stampede serve --all buggy      a broken shop on http://127.0.0.1:3000

Environment:
  DATABASE_URL            a PostgreSQL server (15 or newer) to use, whose user
                          may create databases
  STAMPEDE_POSTGRES_BIN   directory of the server binaries to use, or
                          'portable' to fetch them
  STAMPEDE_HOME           where clusters, caches and results are kept
                          (default: target/stampede)
  NO_COLOR                no colours";

const EXIT_CODES: &str = "\
Exit codes:
  0    every variant came out as expected
  1    at least one did not
  2    the command line cannot be understood
  3    the run was invalid (a saturated generator, or too few requests) or
       could not be made
  130  interrupted; what was measured is kept and marked as partial";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the exercises and their variants
    List,

    /// Put all variants of exercises under the same load and compare them (the main job)
    #[command(after_help = EXIT_CODES)]
    Compare {
        /// Exercises, by the names that `stampede list` shows; all of them when none is named
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        load: LoadOptions,
    },

    /// Judge the judge: put solutions under load of which it is known whether they are right
    #[cfg(feature = "corpus")]
    #[command(after_help = EXIT_CODES)]
    Corpus {
        /// Exercises; all of them when none is named
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Go through the contracts alone, without a load: a wrong solution may keep them, a right one has to
        #[arg(long)]
        contracts: bool,
        #[command(flatten)]
        load: LoadOptions,
    },

    /// Put one exercise under load, in the variants named
    #[command(after_help = EXIT_CODES)]
    Run {
        /// The exercise, such as oversold-stock; `stampede list` shows all
        id: String,
        /// A variant, such as fixed; may be repeated
        #[arg(long = "variant", value_name = "NAME", required = true, allow_hyphen_values = true)]
        variants: Vec<String>,
        #[command(flatten)]
        load: LoadOptions,
    },

    /// Judge your solution: the edited buggy.rs of an exercise, or a server of your own
    ///
    /// The checks judge behaviour, never source, so every solution that keeps the promises passes, and a stub does not.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The exercise, such as oversold-stock; `stampede list` shows all
        id: String,
        /// Judge the server at this address instead, through HTTP alone. It is changed by the load: give it throw-away data
        #[arg(long, value_name = "URL", value_parser = http_url, allow_hyphen_values = true,
              conflicts_with_all = ["replicas", "db_rtt", "scale"])]
        url: Option<Url>,
        #[command(flatten)]
        load: LoadOptions,
    },

    /// Serve the backend for other clients (curl, k6, oha …) until Ctrl-C
    Serve {
        /// Port of the public API on 127.0.0.1; replicas take the next ones; 0 takes free ones
        #[arg(long, default_value_t = 3000, value_parser = whole(0..=u16::MAX), allow_hyphen_values = true)]
        port: u16,
        /// Port of the operator listener (metrics, readiness, run info), likewise
        #[arg(long, default_value_t = 0, value_name = "PORT", value_parser = whole(0..=u16::MAX), allow_hyphen_values = true)]
        operator_port: u16,
        #[command(flatten)]
        choice: Choice,
        /// Servers on the one database
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = whole(1..=16_u16), allow_hyphen_values = true)]
        replicas: u16,
        #[command(flatten)]
        data: DataOptions,
    },

    /// Make seeded databases that stay, on the server in DATABASE_URL
    ///
    /// One that is there already is left as it is. A server of your own, such as one in a container, then runs on it.
    Seed {
        /// Names of the databases, such as shop
        #[arg(value_name = "DATABASE", required = true)]
        names: Vec<DatabaseName>,
        #[command(flatten)]
        content: ContentOptions,
    },

    /// Show what one variant changes of another: the lesson of the exercise
    Diff {
        /// The exercise, such as oversold-stock; `stampede list` shows all
        id: String,
        /// From this variant
        #[arg(default_value = "buggy")]
        from: String,
        /// To this one
        #[arg(default_value = "fixed")]
        to: String,
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
}

#[derive(Debug, Clone, Args)]
pub struct ContentOptions {
    /// How much data: small, medium (10,000 orders) or large (1,000,000 orders)
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, allow_hyphen_values = true)]
    pub scale: Scale,

    /// Seeds the data, the schedule and the order of the rounds
    #[arg(long, default_value_t = 42, value_parser = whole(0..=u64::MAX), allow_hyphen_values = true)]
    pub seed: u64,
}

#[derive(Debug, Clone, Args)]
pub struct DataOptions {
    #[command(flatten)]
    pub content: ContentOptions,

    /// Latency to add to every exchange with the database, such as 500us or 2ms
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = db_rtt, allow_hyphen_values = true)]
    pub db_rtt: Duration,
}

#[derive(Debug, Clone, Args)]
pub struct LoadOptions {
    /// Requests a second of the exercise's main stream [default: the exercise's own]
    #[arg(long, value_parser = rate, allow_hyphen_values = true)]
    pub rate: Option<f64>,

    /// Length of each round, such as 5s [default: the exercise's own]
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,

    /// Rounds of each variant, interleaved in ABBA order [default: 2]
    #[arg(long, value_name = "N", value_parser = whole(1..=100_u32), allow_hyphen_values = true)]
    pub rounds: Option<u32>,

    /// Servers on the one database [default: the exercise's own]
    #[arg(long, value_name = "N", value_parser = whole(1..=16_u16), allow_hyphen_values = true)]
    pub replicas: Option<u16>,

    /// One round of each variant: a first look, not a proof
    #[arg(long, conflicts_with = "rounds")]
    pub quick: bool,

    /// Let each user wait for its answer before the next request, as simple load tools do. It hides what a slow server
    /// does to those who arrive meanwhile
    #[arg(long)]
    pub closed: bool,

    /// Port on 127.0.0.1 where Prometheus finds the generator's own metrics (/metrics) and the servers under test
    /// (/targets, its HTTP service discovery) during the run; 0 takes a free one
    #[arg(long, value_name = "PORT", value_parser = whole(0..=u16::MAX), allow_hyphen_values = true)]
    pub metrics_port: Option<u16>,

    /// Directory for the results: a new one, an empty one, or that of an earlier run, whose results are replaced
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
