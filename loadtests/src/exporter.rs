//! The generator's own listener for Prometheus: what it measures, and where the servers are that it measures.
//!
//! `GET /metrics` has the generator's [`Metrics`]. `GET /targets` lists the operator listeners of the servers that run at
//! this moment, in the form of Prometheus' HTTP service discovery: each round has fresh servers on fresh ports, which no
//! configuration could name beforehand.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

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

/// Servers under test that run at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Their operator listeners, as `host:port`.
    pub targets: Vec<String>,
    /// Set on every series that is scraped from them.
    pub labels: TargetLabels,
}

/// What tells the servers of one round from those of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetLabels {
    /// Catalogue id.
    pub exercise: String,
    /// Catalogue name.
    pub variant: String,
    /// As in the results.
    pub run_id: String,
    /// Where on the listener the metrics are.
    #[serde(rename = "__metrics_path__")]
    pub metrics_path: String,
}

#[derive(Clone, Default)]
struct Servers(Arc<Mutex<BTreeMap<u64, Target>>>);

impl Servers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Target>> {
        // Each change is one call on the map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Servers on the list; dropping it takes them off.
pub struct Listed {
    servers: Servers,
    key: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.servers.lock().remove(&self.key);
    }
}

impl Exporter {
    /// Listens on a port of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn listen(port: u16) -> io::Result<Self> {
        let metrics = Arc::new(Metrics::new().map_err(io::Error::other)?);
        let servers = Servers::default();
        let scrapes = watch::Sender::new(0);
        let router = Router::new()
            .route("/metrics", get(show_metrics).with_state((metrics.clone(), scrapes.clone())))
            .route("/targets", get(show_targets).with_state(servers.clone()));
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
        let target = Target {
            targets: operators.map(|address| address.to_string()).collect(),
            labels: TargetLabels {
                exercise: exercise.into(),
                variant: variant.into(),
                run_id: run_id.into(),
                metrics_path: "/metrics".into(),
            },
        };
        let mut listed = self.servers.lock();
        let key = listed.last_key_value().map_or(0, |(last, _)| last + 1);
        listed.insert(key, target);
        Listed { servers: self.servers.clone(), key }
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
    Json(servers.lock().values().cloned().collect())
}
