//! Facts about the data that no handler can be trusted with, because a handler may be what is wrong.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

/// However often somebody scrapes, the database is asked no more often.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Compares what was sold since this server started with the stock that there was.
///
/// It reads the order lines, not what handlers say: all orders of all servers on this database, by any variant. Servers
/// that started on the same stock give the same number, so that of several it is the largest that counts, not the sum.
/// Nothing adds stock in this shop; a product that is new since the start is left out.
#[derive(Debug)]
pub struct Audit {
    pool: PgPool,
    /// The smallest id that an order can have that is placed from now on: ids sort by time.
    first_order: Uuid,
    /// Pieces in stock, and in orders from `first_order` on, of each product when the server started.
    start: HashMap<Uuid, (i64, i64)>,
    last: Mutex<Option<(Instant, i64)>>,
}

impl Audit {
    /// Reads the stock. `pool` should be one of its own: an audit must neither wait for the server's connections nor take
    /// one from it.
    pub async fn start(pool: PgPool) -> sqlx::Result<Self> {
        let first_order = Uuid::from_u128(Uuid::now_v7().as_u128() >> 80 << 80);
        let start = sold_since(&pool, first_order).await?;
        let start = start.into_iter().map(|(product, stock, sold)| (product, (stock, sold))).collect();
        Ok(Audit { pool, first_order, start, last: Mutex::default() })
    }

    /// Pieces sold beyond the stock, over all products.
    pub async fn oversold_units(&self) -> sqlx::Result<i64> {
        let mut last = self.last.lock().await;
        if let Some((at, units)) = *last
            && at.elapsed() < AT_MOST_EVERY
        {
            return Ok(units);
        }
        let now = sold_since(&self.pool, self.first_order).await?;
        let oversold = now.into_iter().filter_map(|(product, _, sold)| {
            let (stock, sold_before) = self.start.get(&product)?;
            Some((sold - sold_before - stock).max(0))
        });
        let units = oversold.sum();
        *last = Some((Instant::now(), units));
        Ok(units)
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
