use super::*;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    let totals: Vec<(Uuid, Cents)> = sqlx::query_as(
        "SELECT order_id, sum(quantity * price_cents)::bigint FROM order_items JOIN products ON id = product_id
         WHERE order_id = ANY($1) GROUP BY order_id",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
        order.total = totals.iter().find(|total| total.0 == order.id).map_or(Cents(0), |total| total.1);
    }
    Ok(orders)
}
