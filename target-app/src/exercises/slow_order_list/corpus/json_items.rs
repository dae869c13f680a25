use super::*;

use chrono::{DateTime, Utc};
use sqlx::types::Json;

type Row = (Uuid, String, Cents, DateTime<Utc>, Json<Vec<(Uuid, String, i32, i64)>>);

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT o.id, o.status, o.total_cents, o.created_at, (
             SELECT coalesce(json_agg(
                 json_build_array(i.product_id, p.name, i.quantity, i.unit_price_cents) ORDER BY i.product_id
             ), '[]')
             FROM order_items AS i JOIN products AS p ON p.id = i.product_id WHERE i.order_id = o.id
         )
         FROM orders AS o WHERE o.user_id = $1 AND (o.created_at, o.id) < ($2, $3)
         ORDER BY o.created_at DESC, o.id DESC LIMIT $4",
    )
    .bind(user)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch_all(pool)
    .await?;
    let orders = rows.into_iter().map(|(id, status, total, created_at, Json(items))| {
        let items = items.into_iter().map(|(product_id, name, quantity, cents)| OrderItem {
            product_id,
            name,
            quantity,
            unit_price: Cents(cents),
        });
        Order { id, user_id: user, status, total, created_at, items: items.collect() }
    });
    Ok(orders.collect())
}
