use super::*;

use std::sync::{Arc, LazyLock, Mutex};

use chrono::{DateTime, Utc};

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let known = SUMS.lock().unwrap().get(&restaurant).cloned().unwrap_or_default();

    // What was added up before need not be read again: the work grows with the new orders, not with all of them.
    let rows: Vec<Row> = sqlx::query_as(
        "WITH new AS (
             SELECT id, total_cents, created_at FROM restaurant_orders
             WHERE restaurant_id = $1 AND created_at > $2 AND status <> 'cancelled'
         ), sold AS (
             SELECT menu_item_id, sum(quantity)::bigint AS quantity, sum(quantity * unit_price_cents)::bigint AS cents
             FROM restaurant_order_items JOIN new ON new.id = order_id GROUP BY menu_item_id
         )
         SELECT totals.orders, totals.cents, totals.newest, sold.menu_item_id, menu_items.name, sold.quantity, sold.cents
         FROM (SELECT count(*) AS orders, coalesce(sum(total_cents), 0)::bigint AS cents, max(created_at) AS newest
               FROM new) AS totals
         LEFT JOIN (sold JOIN menu_items ON menu_items.id = sold.menu_item_id) ON true",
    )
    .bind(restaurant)
    .bind(known.newest)
    .fetch_all(pool)
    .await?;

    let Some((orders, revenue, Some(newest))) = rows.first().map(|row| (row.0, row.1, row.2)) else {
        return Ok(known.analytics());
    };
    let mut sums = Sums::clone(&known);
    sums.newest = newest;
    sums.orders += orders;
    sums.revenue.0 += revenue.0;
    for (_, _, _, menu_item_id, name, quantity, revenue) in rows {
        let (Some(menu_item_id), Some(name)) = (menu_item_id, name) else { continue };
        let item = sums.items.entry(menu_item_id).or_insert(TopItem {
            menu_item_id,
            name,
            quantity: 0,
            revenue: Cents(0),
        });
        item.quantity += quantity.unwrap_or_default();
        item.revenue.0 += revenue.unwrap_or_default().0;
    }

    let sums = Arc::new(sums);
    let mut kept = SUMS.lock().unwrap();
    // Of requests that overlap, the one that saw most is kept.
    let kept = kept.entry(restaurant).or_default();
    if kept.newest < sums.newest {
        *kept = sums.clone();
    }
    Ok(sums.analytics())
}

/// The new orders' totals, the newest one's time, and a dish that they sold.
type Row = (i64, Cents, Option<DateTime<Utc>>, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

/// What each restaurant's orders come to, up to the newest one that was seen.
static SUMS: LazyLock<Mutex<HashMap<Uuid, Arc<Sums>>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Default)]
struct Sums {
    newest: DateTime<Utc>,
    orders: i64,
    revenue: Cents,
    items: HashMap<Uuid, TopItem>,
}

impl Sums {
    fn analytics(&self) -> Analytics {
        Analytics::new(self.orders, self.revenue, self.items.values().cloned().collect())
    }
}
