//! The server under test as a client sees it: what scenarios ask before a round, beside it and after it.
//!
//! It may be anybody's server, so whatever it sends has a bound: the time of an answer, its length, the pages of a list.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::hint::Hinted;
use crate::lab::Replicas;
use crate::providers::Operator;

/// Longer than any answer that a scenario waits for outside the load.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may be too busy for an answer outside the load. After it, one whose transactions wait for each other
/// has no connection free until PostgreSQL has ended them one after the other, a second each.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two questions to a busy server.
const PAUSE: Duration = Duration::from_millis(250);

/// Whoever does not say by then that it is there, is not.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read outside the load, in bytes: a page of a list and a report are far shorter.
const LONGEST_BODY: usize = 32 << 20;

/// Entries on one page of a list, the most that the API gives.
const PAGE: usize = 100;

/// Pages of one list that are read: those of half a million orders, and some.
const MOST_PAGES: usize = 6_000;

/// The header in which the gateway says who asks.
pub const BUYER: &str = "x-user-id";

/// A server, with its operator port where that is known.
pub struct Api {
    client: Client,
    /// Base URLs of the replicas, which are asked in turn.
    pub targets: Vec<Url>,
    operators: Vec<Url>,
    turn: AtomicUsize,
    reference: Option<Url>,
    /// The servers' database and processes, where they are the lab's own.
    lab: Option<(PgConnectOptions, Arc<Replicas>)>,
    providers: Option<Operator>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
    /// The request in words.
    request: String,
}

impl Reply {
    /// The answer, if its status is this one.
    ///
    /// # Errors
    /// Names the request, the status, and what the answer says of itself.
    pub fn with_status(self, status: u16) -> anyhow::Result<Self> {
        ensure!(self.status == status, "{}, not {status}", self.words());
        Ok(self)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Names the request, and what is missing.
    pub fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} did not answer with the JSON that it should", self.request))
    }

    /// The request, the status, and the sentence of a problem document.
    fn words(&self) -> String {
        let answered = format!("{} answered {}", self.request, self.status);
        let problem: Option<Value> = serde_json::from_slice(&self.body).ok();
        match problem.as_ref().and_then(|problem| problem.get("detail")?.as_str()) {
            // A stranger's sentence may be a book.
            Some(detail) => format!("{answered} ({})", detail.chars().take(200).collect::<String>()),
            None => answered,
        }
    }
}

impl Api {
    /// The servers at `targets`; `operators` are their operator ports, or empty.
    pub fn new(targets: Vec<Url>, operators: Vec<Url>) -> anyhow::Result<Self> {
        Ok(Api {
            client: client(TIMEOUT)?,
            targets,
            operators,
            turn: AtomicUsize::new(0),
            reference: None,
            lab: None,
            providers: None,
        })
    }

    /// The same, with the address of the reference server beside them.
    pub fn beside(self, reference: Url) -> Self {
        Api { reference: Some(reference), ..self }
    }

    /// The same, of the lab's own servers, which work on this database.
    pub fn on(self, database: PgConnectOptions, replicas: Arc<Replicas>) -> Self {
        Api { lab: Some((database, replicas)), ..self }
    }

    /// The same, of servers that call these simulated providers.
    pub fn with_providers(self, providers: Operator) -> Self {
        Api { providers: Some(providers), ..self }
    }

    /// The simulated providers that the servers call.
    ///
    /// # Errors
    /// When there are none.
    pub fn providers(&self) -> anyhow::Result<&Operator> {
        Ok(self.providers.as_ref().ok_or_else(|| {
            Hinted::new(
                "this exercise needs the simulated providers that the server calls",
                "name their operator port with --providers",
            )
        })?)
    }

    /// The processes of the servers, to kill and start again; none of a foreign server.
    pub fn replicas(&self) -> Option<&Replicas> {
        self.lab.as_ref().map(|(_, replicas)| &**replicas)
    }

    /// One of the replicas alone.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn only(&self, replica: usize) -> anyhow::Result<Self> {
        self.at(vec![self.targets[replica].clone()])
    }

    /// The same servers, as a client sees them who has just come.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn anew(&self) -> anyhow::Result<Self> {
        self.at(self.targets.clone())
    }

    fn at(&self, targets: Vec<Url>) -> anyhow::Result<Self> {
        Ok(Api { providers: self.providers.clone(), ..Api::new(targets, Vec::new())? })
    }

    /// A connection to the servers' database, for work of somebody else in there; none to that of a foreign server.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn database(&self) -> sqlx::Result<Option<PgConnection>> {
        match &self.lab {
            Some((database, _)) => PgConnection::connect_with(database).await.map(Some),
            None => Ok(None),
        }
    }

    /// What the reference server answers to a `GET` of this path, and how long it takes.
    pub async fn reference(&self, path: &str) -> anyhow::Result<(String, Duration)> {
        let url = self.reference.as_ref().context("there is no reference server")?.join(path)?;
        let start = Instant::now();
        let answered = async {
            self.client.get(url.clone()).send().await.and_then(Response::error_for_status)?.text().await
        };
        let explained =
            |error| Hinted::new(explain(error, &url, "GET of the reference server"), "run it again");
        Ok((answered.await.map_err(explained)?, start.elapsed()))
    }

    /// Whether the statements that a request takes can be counted.
    pub fn counts_statements(&self) -> bool {
        !self.operators.is_empty()
    }

    /// Makes sure that something that looks like this API answers.
    pub async fn probe(&self) -> anyhow::Result<()> {
        for target in &self.targets {
            let base = Api { client: client(PROBE_TIMEOUT)?, ..Api::new(vec![target.clone()], Vec::new())? };
            let probed = async {
                base.ask(Method::GET, "/health", None, None).await?.with_status(200)?;
                let page = base.ask(Method::GET, "/products?page=1&limit=1", None, None).await?;
                let page: Value = page.with_status(200)?.json()?;
                ensure!(page.get("products").is_some_and(Value::is_array), "GET /products lists no products");
                Ok(())
            };
            probed.await.with_context(|| {
                Hinted::new(
                    format!("the server at {target} cannot be judged"),
                    "start a server with the routes of this API there (such as `stampede serve`), or correct --url",
                )
            })?;
        }
        Ok(())
    }

    /// One request to the next replica, and its answer, whatever it is.
    ///
    /// # Errors
    /// When there is no answer in time, or no end of it.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        tenant: Option<&str>,
        json: Option<&Value>,
    ) -> anyhow::Result<Reply> {
        self.send(method, path, tenant.map(|tenant| ("X-Tenant-ID", tenant)), json).await
    }

    /// The answer to a `POST` of a JSON document with this idempotency key, whatever it is.
    pub async fn post_with_key(&self, path: &str, key: &str, json: &Value) -> anyhow::Result<Reply> {
        self.send(Method::POST, path, Some(("Idempotency-Key", key)), Some(json)).await
    }

    /// The answer to a request of this buyer, whatever it is.
    pub async fn of_buyer(&self, method: Method, path: &str, buyer: Uuid) -> anyhow::Result<Reply> {
        self.send(method, path, Some((BUYER, &buyer.to_string())), None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        json: Option<&Value>,
    ) -> anyhow::Result<Reply> {
        let target = &self.targets[self.turn.fetch_add(1, Ordering::Relaxed) % self.targets.len()];
        let url = target.join(path).with_context(|| format!("{path} is not a path"))?;
        let request = format!("{method} {path}");
        let mut builder = self.client.request(method, url.clone());
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        if let Some(json) = json {
            builder = builder.json(json);
        }
        let mut response = builder.send().await.map_err(|error| explain(error, &url, &request))?;
        let body = match read(&mut response, LONGEST_BODY).await {
            Ok(body) => body.into(),
            Err(Unread::Broken(error)) => return Err(explain(error, &url, &request)),
            Err(Unread::TooLong) => bail!("{request} answered with more than {} MB", LONGEST_BODY >> 20),
        };
        Ok(Reply {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
            request,
        })
    }

    /// The answer to a `POST` of a JSON document, whatever it is.
    pub async fn post(&self, path: &str, tenant: Option<&str>, json: &Value) -> anyhow::Result<Reply> {
        self.ask(Method::POST, path, tenant, Some(json)).await
    }

    /// The body of a `GET` that succeeds. A server that is too busy is asked again for a while.
    pub async fn bytes(&self, path: &str, tenant: Option<&str>) -> anyhow::Result<Vec<u8>> {
        Ok(self.success(path, tenant).await?.body)
    }

    /// The JSON of a `GET` that succeeds.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, tenant: Option<&str>) -> anyhow::Result<T> {
        self.success(path, tenant).await?.json()
    }

    async fn success(&self, path: &str, tenant: Option<&str>) -> anyhow::Result<Reply> {
        let start = Instant::now();
        loop {
            let reply = self.ask(Method::GET, path, tenant, None).await?;
            match reply.status {
                StatusCode::SERVICE_UNAVAILABLE if start.elapsed() < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                }
                status if status.is_success() => return Ok(reply),
                _ => bail!("{}", reply.words()),
            }
        }
    }

    /// All entries of a list that comes in pages, each a JSON object with the entries under `field`.
    ///
    /// # Errors
    /// Also for a list that does not end.
    pub async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        tenant: Option<&str>,
        field: &str,
    ) -> anyhow::Result<Vec<T>> {
        let mut all = Vec::new();
        let mut before = Value::Null;
        for page in 1..=MOST_PAGES {
            let path = format!("{path}?page={page}&limit={PAGE}");
            let mut body: Value = self.get(&path, tenant).await?;
            let entries = body.get_mut(field).map(Value::take);
            let Some(Value::Array(entries)) = entries else {
                bail!("GET {path} has no list called `{field}`")
            };
            let (count, first) = (entries.len(), entries.first().cloned().unwrap_or_default());
            ensure!(count <= PAGE, "GET {path} answered with {count} entries");
            ensure!(count == 0 || first != before, "GET {path} answered with the page before it");
            for entry in entries {
                all.push(
                    serde_json::from_value(entry)
                        .with_context(|| format!("GET {path} did not answer with the JSON that it should"))?,
                );
            }
            if count < PAGE {
                return Ok(all);
            }
            before = first;
        }
        bail!("GET {path} has more than {MOST_PAGES} pages")
    }

    /// SQL statements that the servers have sent so far, whether for a request or not, from
    /// `db_client_operation_duration_seconds`. Without operator ports it is 0.
    pub async fn statements(&self) -> anyhow::Result<f64> {
        const SERIES: &str = "db_client_operation_duration_seconds_count{";
        let mut total = 0.0;
        for operator in &self.operators {
            let url = operator.join("/metrics")?;
            let answered = self.client.get(url.clone()).send().await;
            let text = match answered {
                Ok(response) => response.text().await,
                Err(error) => Err(error),
            };
            let text = text.map_err(|error| explain(error, &url, "GET /metrics"))?;
            let counts = text.lines().filter(|line| line.starts_with(SERIES));
            total += counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
        Ok(total)
    }
}

/// Why a body was not read to its end.
pub(crate) enum Unread {
    /// The connection broke, or the time was up.
    Broken(reqwest::Error),
    /// It is longer than it may be.
    TooLong,
}

/// The whole body of an answer, if it has at most `most` bytes.
pub(crate) async fn read(response: &mut Response, most: usize) -> Result<bytes::Bytes, Unread> {
    let mut body = bytes::BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > most {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn client(timeout: Duration) -> anyhow::Result<Client> {
    plain_http().timeout(timeout).build().context("the HTTP client could not be built")
}

/// A client without TLS: what is judged is plain HTTP. So it needs none of the system's root certificates, which a slim
/// container does not have, and takes no time to read them.
pub(crate) fn plain_http() -> ClientBuilder {
    Client::builder().no_proxy().tls_certs_only([])
}

/// A transport error in words that name the request and the address.
fn explain(error: reqwest::Error, url: &Url, request: &str) -> anyhow::Error {
    let at = url.origin().ascii_serialization();
    let what = if error.is_timeout() {
        format!("{request} was not answered in time by {at}")
    } else if error.is_connect() {
        format!("nothing answers at {at}")
    } else {
        format!("{request} to {at} failed")
    };
    anyhow::Error::new(error).context(what)
}

/// Whether an answer did not come in time, and nothing else is wrong.
pub fn is_timeout(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::response::IntoResponse;
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn a_busy_server_is_asked_again() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let answer = async move || match count.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => "idle".into_response(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(axum::serve(listener, Router::new().route("/", get(answer))).into_future());
        let api = Api::new(vec![url], Vec::new()).unwrap();
        assert_eq!(api.bytes("/", None).await.unwrap(), b"idle");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
}
