use super::*;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

/// The restaurants that are being summed up at the moment: ten managers who look at once cost one statement.
static FLIGHTS: LazyLock<Mutex<HashMap<Uuid, Flight>>> = LazyLock::new(Mutex::default);

/// None when the statement failed; then everybody asks for themselves and gets the error as it is.
type Flight = Shared<BoxFuture<'static, Option<Arc<Analytics>>>>;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let flight = {
        let mut flights = FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner);
        flights.entry(restaurant).or_insert_with(|| take_off(pool.clone(), restaurant)).clone()
    };
    match flight.await {
        Some(figures) => Ok(figures.as_ref().clone()),
        None => sum_up(pool, restaurant).await,
    }
}

/// Runs in a task of its own, so that a manager who leaves takes nobody along.
fn take_off(pool: PgPool, restaurant: Uuid) -> Flight {
    let landed = tokio::spawn(async move {
        let _landing = Landing(restaurant);
        sum_up(&pool, restaurant).await.ok().map(Arc::new)
    });
    landed.map(|figures| figures.ok().flatten()).boxed().shared()
}

/// Ends a flight, however it ends: whoever comes later starts the next.
struct Landing(Uuid);

impl Drop for Landing {
    fn drop(&mut self) {
        FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

type Row = (i64, Cents, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

async fn sum_up(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let rows: Vec<Row> = sqlx::query_as(
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

    let (orders, revenue) = rows.first().map_or((0, Cents(0)), |row| (row.0, row.1));
    let items = rows.into_iter().filter_map(|(_, _, menu_item_id, name, quantity, revenue)| {
        Some(TopItem { menu_item_id: menu_item_id?, name: name?, quantity: quantity?, revenue: revenue? })
    });
    Ok(Analytics::new(orders, revenue, items.collect()))
}
