use super::*;

/// Of these the best sellers are chosen: a few more than are listed, since dishes may have sold equally often.
const CANDIDATES: i64 = 4 * TOP_ITEMS as i64;

type Row = (i64, Cents, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let rows: Vec<Row> = sqlx::query_as(
        "WITH counted AS (
             SELECT id, total_cents FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled'
         ), sold AS (
             SELECT menu_item_id, sum(quantity)::bigint AS quantity, sum(quantity * unit_price_cents)::bigint AS cents
             FROM restaurant_order_items JOIN counted ON counted.id = order_id
             GROUP BY menu_item_id ORDER BY quantity DESC LIMIT $2
         )
         SELECT totals.orders, totals.cents, sold.menu_item_id, menu_items.name, sold.quantity, sold.cents
         FROM (SELECT count(*) AS orders, coalesce(sum(total_cents), 0)::bigint AS cents FROM counted) AS totals
         LEFT JOIN (sold JOIN menu_items ON menu_items.id = sold.menu_item_id) ON true",
    )
    .bind(restaurant)
    .bind(CANDIDATES)
    .fetch_all(pool)
    .await?;

    let (orders, revenue) = rows.first().map_or((0, Cents(0)), |row| (row.0, row.1));
    let items = rows.into_iter().filter_map(|(_, _, menu_item_id, name, quantity, revenue)| {
        Some(TopItem { menu_item_id: menu_item_id?, name: name?, quantity: quantity?, revenue: revenue? })
    });
    // Sorts them by quantity and id, and keeps the first five.
    Ok(Analytics::new(orders, revenue, items.collect()))
}
