//! Paid orders that repeat another one.

use futures::future::BoxFuture;
use sqlx::PgPool;
use uuid::Uuid;

use super::REPEATED_ORDERS;
use crate::telemetry::MetricSpec;
use crate::telemetry::data_gauges::DataGauge;

/// Counts repeated orders in the database. The count covers all servers, so take the largest of several and not their sum.
#[derive(Debug)]
struct Repeated {
    pool: PgPool,
    /// Lower bound for the ids of orders placed from now on: ids sort by time.
    first_order: Uuid,
}

/// Begins to count.
pub(super) fn start(pool: PgPool) -> BoxFuture<'static, sqlx::Result<Box<dyn DataGauge>>> {
    Box::pin(async {
        let first_order = Uuid::from_u128(Uuid::now_v7().as_u128() >> 80 << 80);
        Ok(Box::new(Repeated { pool, first_order }) as Box<dyn DataGauge>)
    })
}

impl DataGauge for Repeated {
    fn spec(&self) -> &'static MetricSpec {
        &REPEATED_ORDERS
    }

    fn read(&self) -> BoxFuture<'_, sqlx::Result<f64>> {
        Box::pin(async {
            // Whoever buys the same again on purpose has a new key for it.
            let repeated: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM (
                     SELECT id, created_at - lag(created_at) OVER (PARTITION BY user_id, cart ORDER BY created_at) AS since
                     FROM (
                         SELECT o.id, o.user_id, o.created_at,
                                array_agg((i.product_id, i.quantity)::text ORDER BY i.product_id) AS cart
                         FROM orders AS o JOIN order_items AS i ON i.order_id = o.id
                         WHERE o.id >= $1 AND o.status = 'paid' GROUP BY o.id
                     ) AS paid
                 ) AS repeated WHERE since < interval '10 seconds' AND id NOT IN (
                     SELECT coalesce(order_id, (answer -> 'paid' ->> 'id')::uuid) FROM idempotency_keys
                     WHERE order_id IS NOT NULL OR answer -> 'paid' ->> 'id' IS NOT NULL
                 )",
            )
            .bind(self.first_order)
            .fetch_one(&self.pool)
            .await?;
            Ok(repeated as f64)
        })
    }
}
