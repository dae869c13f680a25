use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let (orders, revenue): (i64, Cents) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(total_cents), 0)::bigint FROM restaurant_orders
         WHERE restaurant_id = $1 AND status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_one(pool)
    .await?;
    // From the menu to the lines: a menu is short, and its names are at hand.
    let dishes: Vec<(Uuid, String, i64, Cents)> = sqlx::query_as(
        "SELECT menu_items.id, name, coalesce(sum(sold.quantity), 0)::bigint AS portions,
                coalesce(sum(sold.quantity * sold.unit_price_cents), 0)::bigint
         FROM menu_items
         LEFT JOIN (
             restaurant_order_items AS sold
             JOIN restaurant_orders ON restaurant_orders.id = sold.order_id AND status <> 'cancelled'
         ) ON sold.menu_item_id = menu_items.id
         WHERE menu_items.restaurant_id = $1
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
