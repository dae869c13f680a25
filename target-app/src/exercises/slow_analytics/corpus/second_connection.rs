use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    // One snapshot, so that the totals and the best sellers are of the same orders.
    let mut snapshot = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;

    let (orders, revenue): (i64, Cents) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(total_cents), 0)::bigint FROM restaurant_orders
         WHERE restaurant_id = $1 AND status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_one(&mut *snapshot)
    .await?;

    let sold: Vec<(Uuid, i64, Cents)> = sqlx::query_as(
        "SELECT menu_item_id, sum(quantity)::bigint, sum(quantity * unit_price_cents)::bigint
         FROM restaurant_orders JOIN restaurant_order_items ON order_id = id
         WHERE restaurant_id = $1 AND status <> 'cancelled'
         GROUP BY menu_item_id ORDER BY 2 DESC, 1 LIMIT $2",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(&mut *snapshot)
    .await?;

    let mut names = dish_names(pool, sold.iter().map(|row| row.0).collect()).await?;
    snapshot.commit().await?;

    let items = sold.into_iter().filter_map(|(menu_item_id, quantity, revenue)| {
        Some(TopItem { menu_item_id, name: names.remove(&menu_item_id)?, quantity, revenue })
    });
    Ok(Analytics::new(orders, revenue, items.collect()))
}

/// The names of several dishes at once.
async fn dish_names(pool: &PgPool, dishes: Vec<Uuid>) -> sqlx::Result<HashMap<Uuid, String>> {
    let names: Vec<(Uuid, String)> = sqlx::query_as("SELECT id, name FROM menu_items WHERE id = ANY($1)")
        .bind(dishes)
        .fetch_all(pool)
        .await?;
    Ok(names.into_iter().collect())
}
