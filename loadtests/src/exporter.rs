//! The generator's own listener for Prometheus: what it measures, and where the servers are that it measures.
//!
//! `GET /metrics` has the generator's [`Metrics`]. `GET /targets` lists the servers that run at this moment, in the form of
//! Prometheus' HTTP service discovery: each round has fresh servers on fresh ports, which no configuration could name
//! beforehand. Their metrics are read through this listener, `GET /servers/{key}`: when the load is over they stay as they
//! are, since the audit that follows has requests wait on purpose, which says nothing of the server.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use reqwest::Client;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::api::plain_http;
use crate::load::metrics::Metrics;

/// A listener on loopback, which answers until it is dropped.
pub struct Exporter {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it shows.
    pub metrics: Arc<Metrics>,
    servers: Servers,
    scrapes: watch::Sender<u64>,
    listener: AbortHandle,
}

/// Longest wait for the last scrape, that of a Prometheus which looks every few seconds.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Longest wait for a server's metrics: as long as Prometheus itself waits.
const ONE_SCRAPE: Duration = Duration::from_secs(1);

/// A server under test that runs at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Where its metrics are read: one `host:port`.
    pub targets: [String; 1],
    /// Set on every series that is scraped from it.
    pub labels: TargetLabels,
}

/// What tells one server from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetLabels {
    /// Catalogue id.
    pub exercise: String,
    /// Catalogue name.
    pub variant: String,
    /// As in the results.
    pub run_id: String,
    /// Its operator listener, as `host:port`.
    pub instance: String,
    /// Where on the target the metrics are.
    #[serde(rename = "__metrics_path__")]
    pub metrics_path: String,
}

#[derive(Clone)]
struct Servers {
    client: Client,
    listed: Arc<Mutex<BTreeMap<u64, Server>>>,
    /// No key is used twice: Prometheus may still look for a server that has ended.
    next: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Server {
    target: Target,
    /// Its metrics as they were when the load was over, or that it had none then.
    last: Option<Result<String, StatusCode>>,
}

impl Servers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Server>> {
        // Each change is one call on the map.
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's metrics, or with which status there are none.
    async fn metrics(&self, key: u64) -> Result<String, StatusCode> {
        let server = self.lock().get(&key).cloned().ok_or(StatusCode::NOT_FOUND)?;
        if let Some(last) = server.last {
            return last;
        }
        let asking = async {
            let url = format!("http://{}/metrics", server.target.labels.instance);
            self.client.get(url).send().await?.error_for_status()?.text().await
        };
        asking.await.map_err(|_| StatusCode::BAD_GATEWAY)
    }
}

/// Servers on the list; dropping it takes them off.
pub struct Listed {
    servers: Servers,
    keys: Vec<u64>,
}

impl Listed {
    /// Keeps the servers' metrics as they are now.
    pub async fn freeze(&self) {
        join_all(self.keys.iter().map(async |key| {
            let last = self.servers.metrics(*key).await;
            if let Some(server) = self.servers.lock().get_mut(key) {
                server.last = Some(last);
            }
        }))
        .await;
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut listed = self.servers.lock();
        for key in &self.keys {
            listed.remove(key);
        }
    }
}

impl Exporter {
    /// Listens on a port of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn listen(port: u16) -> io::Result<Self> {
        let metrics = Arc::new(Metrics::new().map_err(io::Error::other)?);
        let client = plain_http().timeout(ONE_SCRAPE).build().map_err(io::Error::other)?;
        let servers = Servers { client, listed: Arc::default(), next: Arc::default() };
        let scrapes = watch::Sender::new(0);
        let router = Router::new()
            .route("/metrics", get(show_metrics).with_state((metrics.clone(), scrapes.clone())))
            .route("/targets", get(show_targets).with_state(servers.clone()))
            .route("/servers/{key}", get(show_server).with_state(servers.clone()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async { axum::serve(listener, router).await });
        Ok(Self { address, metrics, servers, scrapes, listener: serving.abort_handle() })
    }

    /// Waits until a Prometheus that looked before has seen the end of the run. What the last round came to would otherwise
    /// be known to nobody.
    pub async fn last_look(&self) {
        let seen = *self.scrapes.borrow();
        if seen > 0 {
            // The next scrape may still be on its way to Prometheus; the one after it begins when that has arrived.
            let arrived =
                async { self.scrapes.subscribe().wait_for(|scrapes| *scrapes >= seen + 2).await.map(drop) };
            let _ = timeout(LAST_LOOK, arrived).await;
        }
    }

    /// Puts servers on the list, until what is returned is dropped.
    pub fn list(
        &self,
        operators: impl Iterator<Item = SocketAddr>,
        exercise: &str,
        variant: &str,
        run_id: &str,
    ) -> Listed {
        let mut listed = self.servers.lock();
        let keys = operators.map(|operator| {
            let key = self.servers.next.fetch_add(1, Ordering::Relaxed);
            let labels = TargetLabels {
                exercise: exercise.into(),
                variant: variant.into(),
                run_id: run_id.into(),
                instance: operator.to_string(),
                metrics_path: format!("/servers/{key}"),
            };
            let target = Target { targets: [self.address.to_string()], labels };
            listed.insert(key, Server { target, last: None });
            key
        });
        let keys = keys.collect();
        Listed { servers: self.servers.clone(), keys }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn show_metrics(
    State((metrics, scrapes)): State<(Arc<Metrics>, watch::Sender<u64>)>,
) -> impl IntoResponse {
    scrapes.send_modify(|scrapes| *scrapes += 1);
    // The threads of this runtime drive the load.
    let text = tokio::task::spawn_blocking(move || metrics.encode()).await;
    text.map(|text| ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
        .map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written down"))
}

async fn show_targets(State(servers): State<Servers>) -> Json<Vec<Target>> {
    Json(servers.lock().values().map(|server| server.target.clone()).collect())
}

async fn show_server(State(servers): State<Servers>, Path(key): Path<u64>) -> impl IntoResponse {
    let text = servers.metrics(key).await;
    text.map(|text| ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
}
