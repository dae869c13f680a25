//! The simulated providers: outside services that the servers under test call, in a process of their own, and the operator port through
//! which scenarios make them slow, hold their requests and read what they did.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use simulated_providers::{Close, Entry, Open, Options, Point, Profile, Providers, Release, Status};
use target_app::server::Ready;

use crate::api::plain_http;
use crate::hint::Hinted;
use crate::lab::{Process, run_child};

/// The hidden subcommand under which this program is the providers.
pub const SUBCOMMAND: &str = "providers";

/// Signs the callbacks. There is nobody to keep it from.
const SECRET: &[u8] = b"simulated";

/// Longer than the operator port makes anybody wait for a gate.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Entries of a ledger that are read, at most.
const MOST_ENTRIES: usize = 200_000;

/// How they are run: as a process of their own, beside the servers under test.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Address that the backend calls
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    listen: SocketAddr,
    /// Address for whoever makes the services slow and reads their ledgers
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    operator_listen: SocketAddr,
    /// Leaves the processors to others first, as `nice` does
    #[arg(long, default_value_t = 0)]
    nice: i32,
    /// Seeds what happens to each request
    #[arg(long)]
    seed: u64,
}

/// Runs them until standard input closes.
pub fn run(Config { listen, operator_listen, nice, seed }: Config) -> ExitCode {
    run_child(nice, async |announce| {
        let options = Options { listen, operator_listen, seed, secret: SECRET.to_vec() };
        let providers = Providers::start(&options).await.context("could not listen")?;
        announce.ready(&Ready { public: providers.address, operator: providers.operator })?;
        std::future::pending().await
    })
}

/// Starts them.
pub(crate) async fn start(program: &Path, seed: u64) -> anyhow::Result<Process> {
    let mut command = Process::command(program, SUBCOMMAND);
    command.args(["--seed", &seed.to_string()]);
    Process::start(&mut command, None).await.context("the simulated providers did not start")
}

/// The operator port of the simulated providers. An error means that they are gone, which is not the fault of a server under test.
#[derive(Debug, Clone)]
pub struct Operator {
    client: Client,
    url: Url,
}

impl Operator {
    /// That of the providers at this address.
    pub fn new(url: Url) -> anyhow::Result<Self> {
        let client = plain_http().timeout(TIMEOUT).build().context("the HTTP client could not be built")?;
        Ok(Operator { client, url })
    }

    /// The same, of providers that somebody else has started.
    ///
    /// # Errors
    /// When nothing there answers as they do.
    pub async fn reach(url: Url) -> anyhow::Result<Self> {
        let operator = Operator::new(url.clone())?;
        operator.status("payments").await.with_context(|| {
            Hinted::new(
                format!("there are no simulated providers at {url}"),
                "`stampede serve` says where the operator port of its simulated providers is; correct --providers",
            )
        })?;
        Ok(operator)
    }

    /// How slow and how unreliable a service is.
    pub async fn profile(&self, service: &str) -> anyhow::Result<Profile> {
        self.ask(Method::GET, &format!("{service}/profile"), None::<&()>).await
    }

    /// Sets how slow and how unreliable a service is.
    pub async fn set_profile(&self, service: &str, profile: &Profile) -> anyhow::Result<()> {
        self.ask::<Value>(Method::PUT, &format!("{service}/profile"), Some(profile)).await.map(drop)
    }

    /// Everything that took effect at a service.
    pub async fn ledger(&self, service: &str) -> anyhow::Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let path = format!("{service}/ledger?after={}", entries.len());
            let page: Vec<Entry> = self.ask(Method::GET, &path, None::<&()>).await?;
            if page.is_empty() {
                return Ok(entries);
            }
            entries.extend(page);
            ensure!(entries.len() <= MOST_ENTRIES, "the ledger of {service} does not end");
        }
    }

    /// Requests to a service: all, those in work, and the most at a time since [`Operator::count_most_anew`].
    pub async fn status(&self, service: &str) -> anyhow::Result<Status> {
        self.ask(Method::GET, service, None::<&()>).await
    }

    /// Counts the most requests at a time anew.
    pub async fn count_most_anew(&self, service: &str) -> anyhow::Result<()> {
        self.ask::<Value>(Method::DELETE, &format!("{service}/most"), None::<&()>).await.map(drop)
    }

    /// Holds the next requests to a service, before or after they take effect.
    pub async fn hold(&self, service: &str, at: Point, requests: usize) -> anyhow::Result<()> {
        self.ask::<Value>(Method::PUT, &format!("{service}/gate"), Some(&Close { at, requests }))
            .await
            .map(drop)
    }

    /// Waits until so many requests are held, ten seconds at most, and says how many are.
    pub async fn held(&self, service: &str, requests: usize) -> anyhow::Result<usize> {
        self.ask(Method::GET, &format!("{service}/gate?requests={requests}"), None::<&()>).await
    }

    /// Lets the requests that are held go on, and holds no others.
    pub async fn release(&self, service: &str, how: Release) -> anyhow::Result<()> {
        self.ask::<Value>(Method::POST, &format!("{service}/gate/release"), Some(&Open { how }))
            .await
            .map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        let asked = async {
            let mut request = self.client.request(method, self.url.join(path)?);
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().await?.error_for_status()?.bytes().await?;
            anyhow::Ok(serde_json::from_slice(if answer.is_empty() { b"null" } else { &answer })?)
        };
        asked.await.map_err(|error: anyhow::Error| {
            Hinted::new(
                format!("the simulated providers did not answer to {path}: {error:#}"),
                "run it again",
            )
            .into()
        })
    }
}
