use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    // One pass over orders, lines and dishes makes a row a dish; the totals are the sums of these rows.
    let dishes: Vec<(Uuid, String, i64, Cents, Vec<Uuid>, Cents)> = sqlx::query_as(
        "SELECT menu_items.id, name, sum(quantity)::bigint, sum(quantity * unit_price_cents)::bigint,
                array_agg(restaurant_orders.id), sum(total_cents)::bigint
         FROM restaurant_orders
         JOIN restaurant_order_items ON order_id = restaurant_orders.id
         JOIN menu_items ON menu_items.id = menu_item_id
         WHERE restaurant_orders.restaurant_id = $1 AND status <> 'cancelled'
         GROUP BY menu_items.id",
    )
    .bind(restaurant)
    .fetch_all(pool)
    .await?;

    let orders: std::collections::HashSet<Uuid> = dishes.iter().flat_map(|dish| dish.4.clone()).collect();
    let revenue = dishes.iter().map(|dish| dish.5).sum();
    let items = dishes.into_iter().map(|(menu_item_id, name, quantity, revenue, ..)| TopItem {
        menu_item_id,
        name,
        quantity,
        revenue,
    });
    Ok(Analytics::new(orders.len() as i64, revenue, items.collect()))
}
