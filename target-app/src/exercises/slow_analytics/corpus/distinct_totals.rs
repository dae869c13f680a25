use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    // The join repeats an order for each of its lines, so both the order and its total are taken once.
    let (orders, revenue): (i64, Cents) = sqlx::query_as(
        "SELECT count(DISTINCT restaurant_orders.id), coalesce(sum(DISTINCT total_cents), 0)::bigint
         FROM restaurant_orders JOIN restaurant_order_items ON order_id = restaurant_orders.id
         WHERE restaurant_id = $1 AND status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_one(pool)
    .await?;
    let dishes: Vec<(Uuid, String, i64, Cents)> = sqlx::query_as(
        "SELECT menu_items.id, name, sum(quantity)::bigint AS portions, sum(quantity * unit_price_cents)::bigint
         FROM restaurant_orders
         JOIN restaurant_order_items ON order_id = restaurant_orders.id
         JOIN menu_items ON menu_items.id = menu_item_id
         WHERE restaurant_orders.restaurant_id = $1 AND status <> 'cancelled'
         GROUP BY menu_items.id ORDER BY portions DESC, menu_items.id LIMIT $2",
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
    Ok(Analytics::new(orders, revenue, items.collect()))
}
