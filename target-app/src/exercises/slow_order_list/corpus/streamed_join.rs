use super::*;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;

/// An order and one of its lines, or no line.
type Row = (Uuid, String, Cents, DateTime<Utc>, Option<Uuid>, Option<String>, Option<i32>, Option<Cents>);

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // Rows become orders as they arrive; the lines of an order arrive one after the other.
    let mut rows = sqlx::query_as::<_, Row>(
        "SELECT o.id, o.status, o.total_cents, o.created_at, i.product_id, p.name, i.quantity, i.unit_price_cents
         FROM (
             SELECT id, status, total_cents, created_at FROM orders
             WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4
         ) AS o
         LEFT JOIN order_items AS i ON i.order_id = o.id
         LEFT JOIN products AS p ON p.id = i.product_id
         ORDER BY o.created_at DESC, o.id DESC, i.product_id",
    )
    .bind(user)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch(pool);

    let mut orders: Vec<Order> = Vec::new();
    while let Some((id, status, total, created_at, product_id, name, quantity, unit_price)) =
        rows.try_next().await?
    {
        if orders.last().is_none_or(|order| order.id != id) {
            orders.push(Order { id, user_id: user, status, total, created_at, items: Vec::new() });
        }
        if let (Some(order), Some(product_id), Some(name), Some(quantity), Some(unit_price)) =
            (orders.last_mut(), product_id, name, quantity, unit_price)
        {
            order.items.push(OrderItem { product_id, name, quantity, unit_price });
        }
    }
    Ok(orders)
}
