use super::*;

use std::collections::HashMap;

#[derive(sqlx::FromRow)]
struct Row {
    order_id: Uuid,
    #[sqlx(flatten)]
    item: OrderItem,
}

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();

    // A product that is being renamed while the list is read shall not appear under both names: the share lock waits
    // for the change, and readers do not exclude each other.
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT i.order_id, i.product_id, p.name, i.quantity, i.unit_price_cents
         FROM order_items AS i JOIN products AS p ON p.id = i.product_id
         WHERE i.order_id = ANY($1) ORDER BY i.order_id, i.product_id
         FOR SHARE OF p",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await?;

    let mut items: HashMap<Uuid, Vec<OrderItem>> = HashMap::new();
    for row in rows {
        items.entry(row.order_id).or_default().push(row.item);
    }
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    Ok(orders)
}
