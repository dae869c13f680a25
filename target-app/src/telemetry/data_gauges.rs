//! Facts about the data that no handler can be trusted with, because a handler may be what is wrong.
//!
//! An exercise declares one where its damage is in the data; here is when it is read.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::Mutex;

use super::{MetricSpec, Metrics};

/// A gauge that is read from the data, not told by a handler.
pub trait DataGauge: Debug + Send + Sync {
    /// Its declaration, without labels.
    fn spec(&self) -> &'static MetricSpec;

    /// Its value as of now.
    fn read(&self) -> BoxFuture<'_, sqlx::Result<f64>>;
}

/// Begins with what has to be known before the first request. The pool is the gauge's own, of one connection.
pub type StartDataGauge = fn(PgPool) -> BoxFuture<'static, sqlx::Result<Box<dyn DataGauge>>>;

/// However often somebody scrapes, the database is asked no more often.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// How long somebody who reads the metrics waits for one of them. Prometheus gives up after a second here, and then the
/// metrics of a server whose database is gone would be missing just when they are wanted.
const PATIENCE: Duration = Duration::from_millis(500);

/// Those that were started.
#[derive(Debug)]
pub struct DataGauges(Vec<Kept>);

#[derive(Debug)]
struct Kept {
    gauge: Box<dyn DataGauge>,
    last: Mutex<Option<Instant>>,
}

impl DataGauges {
    /// Starts these, each with the name that the log has for it. One that cannot start within `patience` is missing from the
    /// metrics.
    ///
    /// Each asks `database` through a connection of its own: it must neither wait for the server's connections nor take one
    /// from it, nor wait for another gauge whose table is locked.
    pub async fn start(
        gauges: Vec<(&str, StartDataGauge)>,
        database: &PgConnectOptions,
        patience: Duration,
    ) -> Self {
        let started = gauges.into_iter().map(async |(name, start)| {
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(patience);
            match start(pool.connect_lazy_with(database.clone())).await {
                Ok(gauge) => Some(Kept { gauge, last: Mutex::default() }),
                Err(error) => {
                    tracing::warn!(gauge = name, %error, "the data could not be read; a gauge is missing");
                    None
                }
            }
        });
        DataGauges(join_all(started).await.into_iter().flatten().collect())
    }

    /// Brings them up to date, or says which are not.
    pub(super) async fn scrape(&self, metrics: &Metrics) {
        join_all(self.0.iter().map(|kept| kept.scrape(metrics))).await;
    }
}

impl Kept {
    async fn scrape(&self, metrics: &Metrics) {
        let spec = self.gauge.spec();
        let read = async {
            let mut last = self.last.lock().await;
            if last.is_some_and(|at| at.elapsed() < AT_MOST_EVERY) {
                return Ok(());
            }
            metrics.gauge(spec, &[]).set(self.gauge.read().await?);
            *last = Some(Instant::now());
            Ok(())
        };
        let error = match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => sqlx::Error::to_string(&error),
            Err(_) => format!("no answer within {} ms", PATIENCE.as_millis()),
        };
        tracing::warn!(metric = spec.name, %error, "the data could not be read; a gauge is not up to date");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::spec::{METRICS, TOKIO_LIVE_TASKS, TOKIO_WORKERS};

    /// A gauge that says 7, or that nobody ever hears of.
    #[derive(Debug)]
    struct Fake(&'static MetricSpec, bool);

    impl DataGauge for Fake {
        fn spec(&self) -> &'static MetricSpec {
            self.0
        }

        fn read(&self) -> BoxFuture<'_, sqlx::Result<f64>> {
            if self.1 { Box::pin(async { Ok(7.0) }) } else { Box::pin(std::future::pending()) }
        }
    }

    #[tokio::test]
    async fn one_that_is_stuck_keeps_no_other_from_being_read() {
        let metrics = Metrics::new(METRICS.iter().copied()).unwrap();
        let fakes = [Fake(&TOKIO_WORKERS, false), Fake(&TOKIO_LIVE_TASKS, true)];
        let kept = fakes.map(|fake| Kept { gauge: Box::new(fake), last: Mutex::default() });
        DataGauges(kept.into()).scrape(&metrics).await;
        assert_eq!(metrics.gauge(&TOKIO_LIVE_TASKS, &[]).get(), 7.0);
        assert_eq!(metrics.gauge(&TOKIO_WORKERS, &[]).get(), 0.0);
    }
}
