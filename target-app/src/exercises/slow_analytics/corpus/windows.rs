use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    // Each order's total counts at the first of its lines only, since the join repeats it at the others. The sums over the
    // groups are made before the limit takes groups away.
    let dishes: Vec<Row> = sqlx::query_as(
        "WITH lines AS (
             SELECT menu_item_id, quantity, quantity * unit_price_cents AS cents, total_cents,
                    row_number() OVER (PARTITION BY id ORDER BY menu_item_id) = 1 AS is_first
             FROM restaurant_orders LEFT JOIN restaurant_order_items ON order_id = id
             WHERE restaurant_id = $1 AND status <> 'cancelled'
         ), dishes AS (
             SELECT menu_item_id, sum(quantity)::bigint AS quantity, sum(cents)::bigint AS cents,
                    (sum(count(*) FILTER (WHERE is_first)) OVER ())::bigint AS orders,
                    (sum(coalesce(sum(total_cents) FILTER (WHERE is_first), 0)) OVER ())::bigint AS revenue,
                    -- An order without lines makes a group without a dish. It must count, and it sold nothing.
                    row_number() OVER (ORDER BY sum(quantity) DESC NULLS LAST, menu_item_id) AS place
             FROM lines GROUP BY menu_item_id
         )
         SELECT orders, revenue, menu_item_id, name, quantity, cents
         FROM dishes LEFT JOIN menu_items ON menu_items.id = menu_item_id
         WHERE place <= $2 ORDER BY place",
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
