//! Pieces that count as held, against the reservations that are held.

use futures::future::BoxFuture;
use sqlx::PgPool;

use super::STRANDED_PIECES;
use crate::telemetry::MetricSpec;
use crate::telemetry::data_gauges::DataGauge;

/// Stranded pieces of all sales in this database, whichever variant made them.
#[derive(Debug)]
struct Stranded(PgPool);

pub(super) fn start(pool: PgPool) -> BoxFuture<'static, sqlx::Result<Box<dyn DataGauge>>> {
    Box::pin(async { Ok(Box::new(Stranded(pool)) as Box<dyn DataGauge>) })
}

impl DataGauge for Stranded {
    fn spec(&self) -> &'static MetricSpec {
        &STRANDED_PIECES
    }

    fn read(&self) -> BoxFuture<'_, sqlx::Result<f64>> {
        Box::pin(async {
            let stranded: i64 = sqlx::query_scalar(
                "SELECT coalesce(sum(greatest(held - (
                     SELECT count(*) FROM reservations AS r WHERE r.sale_id = permits.sale_id AND status = 'held'
                 ), 0)), 0)::bigint FROM sale_permits AS permits WHERE held > 0",
            )
            .fetch_one(&self.0)
            .await?;
            Ok(stranded as f64)
        })
    }
}
