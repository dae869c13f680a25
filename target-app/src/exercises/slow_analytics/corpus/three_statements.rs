use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    // All statements see the same moment. Their number is three, whatever the restaurant sold.
    let mut db = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let (orders, revenue): (i64, Cents) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(total_cents), 0)::bigint FROM restaurant_orders
         WHERE restaurant_id = $1 AND status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_one(&mut *db)
    .await?;
    let sold: Vec<(Uuid, i64, Cents)> = sqlx::query_as(
        "SELECT menu_item_id, sum(quantity)::bigint AS portions, sum(quantity * unit_price_cents)::bigint
         FROM restaurant_orders JOIN restaurant_order_items ON order_id = restaurant_orders.id
         WHERE restaurant_id = $1 AND status <> 'cancelled'
         GROUP BY menu_item_id ORDER BY portions DESC, menu_item_id LIMIT $2",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(&mut *db)
    .await?;
    let names: Vec<(Uuid, String)> = sqlx::query_as("SELECT id, name FROM menu_items WHERE id = ANY($1)")
        .bind(sold.iter().map(|dish| dish.0).collect::<Vec<_>>())
        .fetch_all(&mut *db)
        .await?;
    db.commit().await?;

    let names: HashMap<Uuid, String> = names.into_iter().collect();
    let items = sold.into_iter().map(|(menu_item_id, quantity, revenue)| TopItem {
        menu_item_id,
        // A line refers to its dish, so there is one.
        name: names[&menu_item_id].clone(),
        quantity,
        revenue,
    });
    Ok(Analytics::new(orders, revenue, items.collect()))
}
