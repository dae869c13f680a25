use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::*;

/// What each restaurant's orders came to, and when that was read.
static KEPT: LazyLock<Mutex<HashMap<Uuid, (Instant, Analytics)>>> = LazyLock::new(Mutex::default);

/// Nobody looks at a chart more often than that.
const FRESH: Duration = Duration::from_secs(10);

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    if let Some((at, kept)) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(&restaurant)
        && at.elapsed() < FRESH
    {
        return Ok(kept.clone());
    }
    let analytics = sum_up(pool, restaurant).await?;
    let kept = (Instant::now(), analytics.clone());
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(restaurant, kept);
    Ok(analytics)
}

async fn sum_up(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let dishes: Vec<Row> = sqlx::query_as(
        "WITH counted AS (
             SELECT id, total_cents FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled'
         ), sold AS (
             SELECT menu_item_id, sum(quantity)::bigint AS quantity, sum(quantity * unit_price_cents)::bigint AS cents
             FROM restaurant_order_items JOIN counted ON counted.id = order_id
             GROUP BY menu_item_id ORDER BY quantity DESC, menu_item_id LIMIT $2
         )
         SELECT totals.orders, totals.cents, sold.menu_item_id, menu_items.name, sold.quantity, sold.cents
         FROM (SELECT count(*) AS orders, coalesce(sum(total_cents), 0)::bigint AS cents FROM counted) AS totals
         LEFT JOIN (sold JOIN menu_items ON menu_items.id = sold.menu_item_id) ON true",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(pool)
    .await?;
    Ok(summed_up(dishes))
}

/// The totals, and one of the best sellers, which are absent where nothing was sold.
type Row = (i64, Cents, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

fn summed_up(dishes: Vec<Row>) -> Analytics {
    let (orders, revenue) = dishes.first().map_or((0, Cents(0)), |row| (row.0, row.1));
    let items = dishes.into_iter().filter_map(|(_, _, menu_item_id, name, quantity, revenue)| {
        Some(TopItem { menu_item_id: menu_item_id?, name: name?, quantity: quantity?, revenue: revenue? })
    });
    Analytics::new(orders, revenue, items.collect())
}
