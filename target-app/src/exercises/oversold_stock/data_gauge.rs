//! What was sold since this server started, against the stock that there was.

use std::collections::HashMap;

use futures::future::BoxFuture;
use sqlx::PgPool;
use uuid::Uuid;

use super::OVERSOLD_UNITS;
use crate::telemetry::MetricSpec;
use crate::telemetry::data_gauges::DataGauge;

/// Pieces sold beyond the stock, over all products.
///
/// It reads the order lines, not what handlers say: all orders of all servers on this database, by any variant. Servers
/// that started on the same stock give the same number, so that of several it is the largest that counts, not the sum.
/// Nothing adds stock in this shop; a product that is new since the start is left out.
#[derive(Debug)]
struct BeyondStock {
    pool: PgPool,
    /// The smallest id that an order can have that is placed from now on: ids sort by time.
    first_order: Uuid,
    /// Pieces in stock, and in orders from `first_order` on, of each product when the server started.
    start: HashMap<Uuid, (i64, i64)>,
}

/// Reads the stock.
pub(super) fn start(pool: PgPool) -> BoxFuture<'static, sqlx::Result<Box<dyn DataGauge>>> {
    Box::pin(async {
        let first_order = Uuid::from_u128(Uuid::now_v7().as_u128() >> 80 << 80);
        let start = sold_since(&pool, first_order).await?;
        let start = start.into_iter().map(|(product, stock, sold)| (product, (stock, sold))).collect();
        Ok(Box::new(BeyondStock { pool, first_order, start }) as Box<dyn DataGauge>)
    })
}

impl DataGauge for BeyondStock {
    fn spec(&self) -> &'static MetricSpec {
        &OVERSOLD_UNITS
    }

    fn read(&self) -> BoxFuture<'_, sqlx::Result<f64>> {
        Box::pin(async {
            let now = sold_since(&self.pool, self.first_order).await?;
            let beyond = now.into_iter().filter_map(|(product, _, sold)| {
                let (stock, sold_before) = self.start.get(&product)?;
                Some((sold - sold_before - stock).max(0))
            });
            Ok(beyond.sum::<i64>() as f64)
        })
    }
}

/// Each product with its stock and the pieces in orders from `first_order` on, all of one moment. It costs what was sold
/// since then, not what was ever sold.
async fn sold_since(pool: &PgPool, first_order: Uuid) -> sqlx::Result<Vec<(Uuid, i64, i64)>> {
    sqlx::query_as(
        "SELECT products.id, products.stock::bigint, coalesce(sold.quantity, 0)
         FROM products LEFT JOIN (
             SELECT product_id, sum(quantity)::bigint AS quantity FROM order_items WHERE order_id >= $1 GROUP BY product_id
         ) AS sold ON sold.product_id = products.id",
    )
    .bind(first_order)
    .fetch_all(pool)
    .await
}
