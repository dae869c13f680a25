use super::*;

use chrono::{DateTime, Utc};

/// A line as the database writes it.
#[derive(serde::Deserialize)]
struct JsonLine {
    product_id: Uuid,
    name: String,
    quantity: i32,
    unit_price_cents: i64,
}

type Row = (Uuid, String, Cents, DateTime<Utc>, String);

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // One statement, and one row an order: the database puts the lines of each together.
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT o.id, o.status, o.total_cents, o.created_at, l.lines
         FROM (
             SELECT id, status, total_cents, created_at FROM orders
             WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4
         ) AS o
         CROSS JOIN LATERAL (
             SELECT COALESCE(JSON_AGG(JSON_BUILD_OBJECT(
                 'product_id', i.product_id, 'name', p.name,
                 'quantity', i.quantity, 'unit_price_cents', i.unit_price_cents
             ) ORDER BY i.product_id), '[]')::text AS lines
             FROM order_items AS i JOIN products AS p ON p.id = i.product_id
             WHERE i.order_id = o.id
         ) AS l
         ORDER BY o.created_at DESC, o.id DESC",
    )
    .bind(user)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch_all(pool)
    .await?;

    let orders = rows.into_iter().map(|(id, status, total, created_at, lines)| {
        let lines: Vec<JsonLine> =
            serde_json::from_str(&lines).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let items = lines.into_iter().map(|line| OrderItem {
            product_id: line.product_id,
            name: line.name,
            quantity: line.quantity,
            unit_price: Cents(line.unit_price_cents),
        });
        Ok::<_, sqlx::Error>(Order { id, user_id: user, status, total, created_at, items: items.collect() })
    });
    orders.collect()
}
