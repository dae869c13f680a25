use std::time::Duration;

use tokio::sync::OnceCell;

use super::*;

/// The views are there, and somebody refreshes them.
static READY: OnceCell<()> = OnceCell::const_new();

/// How old the figures may be.
const EVERY: Duration = Duration::from_secs(3);

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    READY.get_or_try_init(|| keep_views(pool)).await?;
    let totals: Option<(i64, Cents)> =
        sqlx::query_as("SELECT orders, cents FROM sales_totals WHERE restaurant_id = $1")
            .bind(restaurant)
            .fetch_optional(pool)
            .await?;
    let dishes: Vec<(Uuid, String, i64, Cents)> = sqlx::query_as(
        "SELECT menu_item_id, name, quantity, cents
         FROM sales_dishes JOIN menu_items ON menu_items.id = menu_item_id
         WHERE sales_dishes.restaurant_id = $1 ORDER BY quantity DESC, menu_item_id LIMIT $2",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(pool)
    .await?;
    let items = dishes.into_iter().map(|(menu_item_id, name, quantity, revenue)| TopItem {
        menu_item_id,
        name,
        quantity,
        revenue,
    });
    let (orders, revenue) = totals.unwrap_or((0, Cents(0)));
    Ok(Analytics::new(orders, revenue, items.collect()))
}

/// Keeps the views up to date, without locking their readers out.
async fn refresh(pool: PgPool) {
    loop {
        tokio::time::sleep(EVERY).await;
        for statement in [
            "REFRESH MATERIALIZED VIEW CONCURRENTLY sales_totals",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY sales_dishes",
        ] {
            if let Err(error) = sqlx::query(statement).execute(&pool).await {
                tracing::warn!(%error, "the sales could not be refreshed; the next round tries again");
            }
        }
    }
}

async fn keep_views(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "SELECT pg_advisory_xact_lock(7101);
         CREATE MATERIALIZED VIEW IF NOT EXISTS sales_totals AS
             SELECT restaurant_id, count(*) AS orders, sum(total_cents)::bigint AS cents
             FROM restaurant_orders WHERE status <> 'cancelled' GROUP BY restaurant_id;
         CREATE UNIQUE INDEX IF NOT EXISTS sales_totals_key ON sales_totals (restaurant_id);
         CREATE MATERIALIZED VIEW IF NOT EXISTS sales_dishes AS
             SELECT restaurant_id, menu_item_id, sum(quantity)::bigint AS quantity,
                    sum(quantity * unit_price_cents)::bigint AS cents
             FROM restaurant_orders JOIN restaurant_order_items ON order_id = restaurant_orders.id
             WHERE status <> 'cancelled' GROUP BY restaurant_id, menu_item_id;
         CREATE UNIQUE INDEX IF NOT EXISTS sales_dishes_key ON sales_dishes (restaurant_id, menu_item_id)",
    )
    .execute(pool)
    .await?;
    tokio::spawn(refresh(pool.clone()));
    Ok(())
}
