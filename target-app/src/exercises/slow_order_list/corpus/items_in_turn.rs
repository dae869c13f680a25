use super::*;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let rows: Vec<(Uuid, Uuid, String, i32, Cents)> = sqlx::query_as(
        "SELECT i.order_id, p.id, p.name, i.quantity, i.unit_price_cents
         FROM order_items AS i JOIN products AS p ON p.id = i.product_id JOIN orders AS o ON o.id = i.order_id
         WHERE i.order_id = ANY($1) ORDER BY o.created_at DESC, p.id",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await?;
    // Newest first, as the orders.
    let groups = rows.chunk_by(|one, next| one.0 == next.0);
    for (order, group) in orders.iter_mut().zip(groups) {
        let items = group.iter().cloned();
        order.items = items
            .map(|(_, product_id, name, quantity, unit_price)| OrderItem {
                product_id,
                name,
                quantity,
                unit_price,
            })
            .collect();
    }
    Ok(orders)
}
