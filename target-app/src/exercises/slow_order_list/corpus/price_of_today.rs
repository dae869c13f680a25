use super::*;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let rows: Vec<(Uuid, Uuid, String, i32, Cents)> = sqlx::query_as(
        "SELECT i.order_id, p.id, p.name, i.quantity, p.price_cents
         FROM order_items AS i JOIN products AS p ON p.id = i.product_id
         WHERE i.order_id = ANY($1) ORDER BY i.order_id, p.id",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await?;
    for order in &mut orders {
        let items = rows.iter().filter(|row| row.0 == order.id).cloned();
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
