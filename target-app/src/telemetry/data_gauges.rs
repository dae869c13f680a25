//! Facts about the data that no handler can be trusted with, because a handler may be what is wrong.
//!
//! An exercise declares one where its damage is in the data; here is when it is read.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::{MetricSpec, Metrics};
use crate::catalogue::EXERCISES;

/// A gauge that is read from the data, not told by a handler.
pub trait DataGauge: Debug + Send + Sync {
    /// Its declaration, without labels.
    fn spec(&self) -> &'static MetricSpec;

    /// Its value as of now.
    fn read(&self) -> BoxFuture<'_, sqlx::Result<f64>>;
}

/// Begins with what has to be known before the first request. The pool is beside the server's own.
pub type StartDataGauge = fn(PgPool) -> BoxFuture<'static, sqlx::Result<Box<dyn DataGauge>>>;

/// However often somebody scrapes, the database is asked no more often.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// How long somebody who reads the metrics waits for the database. Prometheus gives up after a second here, and then the
/// metrics of a server whose database is gone would be missing just when they are wanted.
const PATIENCE: Duration = Duration::from_millis(500);

/// Those of all exercises.
#[derive(Debug)]
pub struct DataGauges {
    gauges: Vec<Box<dyn DataGauge>>,
    last: Mutex<Option<Instant>>,
}

impl DataGauges {
    /// Starts them. One that cannot start is missing from the metrics. `pool` should be one of their own: they must neither
    /// wait for the server's connections nor take one from it.
    pub async fn start(pool: &PgPool) -> Self {
        let mut gauges = Vec::new();
        for exercise in EXERCISES {
            let Some(start) = exercise.data_gauge else { continue };
            match start(pool.clone()).await {
                Ok(gauge) => gauges.push(gauge),
                Err(error) => {
                    tracing::warn!(exercise = exercise.id, %error, "the data could not be read; a gauge is missing")
                }
            }
        }
        DataGauges { gauges, last: Mutex::default() }
    }

    /// Brings them up to date, or says which are not.
    pub(super) async fn scrape(&self, metrics: &Metrics) {
        if tokio::time::timeout(PATIENCE, self.read(metrics)).await.is_err() {
            tracing::warn!("the data could not be read in time; gauges of it are not up to date");
        }
    }

    async fn read(&self, metrics: &Metrics) {
        let mut last = self.last.lock().await;
        if last.is_some_and(|at| at.elapsed() < AT_MOST_EVERY) {
            return;
        }
        for gauge in &self.gauges {
            let spec = gauge.spec();
            match gauge.read().await {
                Ok(value) => metrics.gauge(spec, &[]).set(value),
                Err(error) => {
                    tracing::warn!(metric = spec.name, %error, "the data could not be read; a gauge is not up to date")
                }
            }
        }
        *last = Some(Instant::now());
    }
}
