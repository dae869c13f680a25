use super::*;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Figures, and which transactions were seen by the statement that made them.
struct Kept {
    seen: String,
    figures: Analytics,
}

/// One entry a restaurant and database.
static KEPT: LazyLock<Mutex<HashMap<Key, Arc<Kept>>>> = LazyLock::new(Mutex::default);

type Key = (String, u16, Option<String>, Uuid);

type Row = (String, i64, Cents, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let database = pool.connect_options();
    let name = database.get_database().map(str::to_owned);
    let key: Key = (database.get_host().to_owned(), database.get_port(), name, restaurant);
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();

    // Two statements with equal snapshots see equal rows: a transaction that committed between them would be in the second.
    // On a standby a snapshot does not list all transactions under way, so there is no comparison; nor after a restart.
    // The condition names no row, so it is decided once, before any row is read.
    let rows: Vec<Row> = sqlx::query_as(
        "WITH now AS MATERIALIZED (
             SELECT CASE WHEN pg_is_in_recovery() THEN ''
                         ELSE pg_postmaster_start_time()::text || ' ' || pg_current_snapshot()::text END AS seen
         ), counted AS (
             SELECT id, total_cents FROM restaurant_orders
             WHERE restaurant_id = $1 AND status <> 'cancelled'
               AND (SELECT seen = '' OR seen IS DISTINCT FROM $3 FROM now)
         ), sold AS (
             SELECT menu_item_id, sum(quantity)::bigint AS quantity, sum(quantity * unit_price_cents)::bigint AS cents
             FROM restaurant_order_items JOIN counted ON counted.id = order_id
             GROUP BY menu_item_id ORDER BY quantity DESC, menu_item_id LIMIT $2
         )
         SELECT now.seen, totals.orders, totals.cents, sold.menu_item_id, menu_items.name, sold.quantity, sold.cents
         FROM now
         CROSS JOIN (SELECT count(*) AS orders, coalesce(sum(total_cents), 0)::bigint AS cents FROM counted) AS totals
         LEFT JOIN (sold JOIN menu_items ON menu_items.id = sold.menu_item_id) ON true",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .bind(kept.as_ref().map(|kept| kept.seen.clone()))
    .fetch_all(pool)
    .await?;

    let Some((seen, orders, revenue)) = rows.first().map(|row| (row.0.clone(), row.1, row.2)) else {
        return Err(sqlx::Error::RowNotFound);
    };
    if let Some(kept) = kept.filter(|kept| kept.seen == seen) {
        return Ok(kept.figures.clone());
    }
    let items = rows.into_iter().filter_map(|(_, _, _, menu_item_id, name, quantity, revenue)| {
        Some(TopItem { menu_item_id: menu_item_id?, name: name?, quantity: quantity?, revenue: revenue? })
    });
    let figures = Analytics::new(orders, revenue, items.collect());
    if !seen.is_empty() {
        // Whichever of several is kept, it is kept with its own snapshot.
        let fresh = Arc::new(Kept { seen, figures: figures.clone() });
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(key, fresh);
    }
    Ok(figures)
}
