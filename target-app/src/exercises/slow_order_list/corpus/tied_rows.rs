use super::*;

use chrono::{DateTime, Utc};

/// A line with the order that it belongs to.
#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    status: String,
    total_cents: Cents,
    created_at: DateTime<Utc>,
    #[sqlx(flatten)]
    item: OrderItem,
}

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // The page is cut before its orders are joined with their items, so that the limit counts orders and not lines.
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT o.id, o.status, o.total_cents, o.created_at, i.product_id, p.name, i.quantity, i.unit_price_cents
         FROM (
             SELECT id, status, total_cents, created_at FROM orders
             WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4
         ) AS o
         JOIN order_items AS i ON i.order_id = o.id
         JOIN products AS p ON p.id = i.product_id
         ORDER BY o.created_at DESC, i.product_id",
    )
    .bind(user)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch_all(pool)
    .await?;

    let mut orders: Vec<Order> = Vec::new();
    for Row { id, status, total_cents, created_at, item } in rows {
        match orders.last_mut() {
            Some(order) if order.id == id => order.items.push(item),
            _ => orders.push(Order {
                id,
                user_id: user,
                status,
                total: total_cents,
                created_at,
                items: vec![item],
            }),
        }
    }
    Ok(orders)
}
