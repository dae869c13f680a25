//! The server under test as a client sees it: what scenarios read before a round and after it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::{Client, ClientBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::hint::Hinted;

/// Longer than any answer that a scenario waits for outside the load.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may be too busy for an answer outside the load. After it, one whose transactions wait for each other
/// has no connection free until PostgreSQL has ended them one after the other, a second each.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two questions to a busy server.
const PAUSE: Duration = Duration::from_millis(250);

/// Whoever does not say by then that it is there, is not.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A server, with its operator port where that is known.
pub struct Api {
    client: Client,
    /// Base URLs of the replicas.
    pub targets: Vec<Url>,
    operators: Vec<Url>,
}

/// A product as the API shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Product {
    /// Stable id.
    pub id: Uuid,
    /// Pieces in stock.
    #[serde(deserialize_with = "pieces")]
    pub inventory: i64,
}

/// A user as the API shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// Stable id.
    pub id: Uuid,
}

/// An order as the API shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Order {
    /// Stable id.
    pub id: Uuid,
    /// What was bought.
    pub items: Vec<OrderItem>,
}

/// One line of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// Which product.
    pub product_id: Uuid,
    /// Pieces.
    #[serde(deserialize_with = "pieces")]
    pub quantity: i64,
}

/// A count that the audits can add up without overflow, whatever a foreign server claims.
fn pieces<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    i32::deserialize(deserializer).map(i64::from)
}

#[derive(Deserialize)]
struct ProductPage {
    products: Vec<Product>,
}

/// The user of the seeded data who has 120 orders.
pub const HEAVY_USER: &str = "heavy.user@example.com";

impl Api {
    /// The servers at `targets`; `operators` are their operator ports, or empty.
    pub fn new(targets: Vec<Url>, operators: Vec<Url>) -> anyhow::Result<Self> {
        Ok(Api { client: client(TIMEOUT)?, targets, operators })
    }

    /// Whether the statements that a request takes can be counted.
    pub fn counts_statements(&self) -> bool {
        !self.operators.is_empty()
    }

    /// Makes sure that something that looks like this API answers.
    pub async fn probe(&self) -> anyhow::Result<()> {
        for target in &self.targets {
            let base =
                Api { client: client(PROBE_TIMEOUT)?, targets: vec![target.clone()], operators: Vec::new() };
            let probed = async {
                base.bytes("/health", None).await?;
                base.get::<ProductPage>("/products?page=1&limit=1", None).await
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

    /// The body of a `GET`, asked of the first replica. One that is too busy is asked again for a while.
    pub async fn bytes(&self, path: &str, tenant: Option<&str>) -> anyhow::Result<Vec<u8>> {
        let url = self.targets[0].join(path).with_context(|| format!("{path} is not a path"))?;
        let mut request = self.client.get(url.clone());
        if let Some(tenant) = tenant {
            request = request.header("X-Tenant-ID", tenant);
        }
        let start = Instant::now();
        loop {
            let again = request.try_clone().context("a request without a body can be sent again")?;
            let response = again.send().await.map_err(|error| explain(error, &url))?;
            let status = response.status();
            if status == StatusCode::SERVICE_UNAVAILABLE && start.elapsed() < PATIENCE {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if !status.is_success() {
                bail!("GET {url} answered {status}");
            }
            return Ok(response.bytes().await.map_err(|error| explain(error, &url))?.into());
        }
    }

    /// The JSON of a `GET`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, tenant: Option<&str>) -> anyhow::Result<T> {
        let body = self.bytes(path, tenant).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("GET {path} did not answer with the JSON that it should"))
    }

    /// The first hundred products.
    pub async fn products(&self) -> anyhow::Result<Vec<Product>> {
        Ok(self.get::<ProductPage>("/products?page=1&limit=100", None).await?.products)
    }

    /// One product.
    pub async fn product(&self, id: Uuid) -> anyhow::Result<Product> {
        self.get(&format!("/products/{id}"), None).await
    }

    /// The user of the seeded data with this address.
    pub async fn user(&self, email: &str) -> anyhow::Result<User> {
        let users: Vec<User> = self.get(&format!("/users?email={email}"), None).await?;
        users
            .into_iter()
            .next()
            .with_context(|| format!("the server has no user {email}; it needs the seeded data"))
    }

    /// All of a user's orders.
    pub async fn orders(&self, user: Uuid) -> anyhow::Result<Vec<Order>> {
        self.get(&format!("/orders/{user}"), None).await
    }

    /// SQL statements and requests so far on a route, over all replicas, from `stampede_db_queries_per_request`.
    pub async fn statements(&self, route: &str) -> anyhow::Result<(f64, f64)> {
        let mut total = (0.0, 0.0);
        for operator in &self.operators {
            let url = operator.join("/metrics")?;
            let text = self
                .client
                .get(url.clone())
                .send()
                .await
                .map_err(|error| explain(error, &url))?
                .text()
                .await?;
            let value = |suffix: &str| {
                let series = format!("stampede_db_queries_per_request_{suffix}{{http_route=\"{route}\"}} ");
                text.lines().find_map(|line| line.strip_prefix(&series)?.parse::<f64>().ok()).unwrap_or(0.0)
            };
            total.0 += value("sum");
            total.1 += value("count");
        }
        Ok(total)
    }
}

fn client(timeout: Duration) -> anyhow::Result<Client> {
    plain_http().timeout(timeout).build().context("the HTTP client could not be built")
}

/// A client without TLS: what is judged is plain HTTP. So it needs none of the system's root certificates, which a slim
/// container does not have, and takes no time to read them.
pub(crate) fn plain_http() -> ClientBuilder {
    Client::builder().no_proxy().tls_certs_only([])
}

/// A transport error in words that name the address.
fn explain(error: reqwest::Error, url: &Url) -> anyhow::Error {
    let at = url.origin().ascii_serialization();
    let what = if error.is_timeout() {
        format!("{at} did not answer in time")
    } else if error.is_connect() {
        format!("nothing answers at {at}")
    } else {
        format!("the request to {at} failed")
    };
    anyhow::Error::new(error).context(what)
}

/// Whether an answer did not come in time, and nothing else is wrong.
pub fn is_timeout(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
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
