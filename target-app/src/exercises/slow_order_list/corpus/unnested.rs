use super::*;

use chrono::{DateTime, Utc};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    status: String,
    total_cents: Cents,
    created_at: DateTime<Utc>,
    products: Option<Vec<Uuid>>,
    names: Option<Vec<String>>,
    quantities: Option<Vec<i32>>,
    prices: Option<Vec<i64>>,
}

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT o.id, o.status, o.total_cents, o.created_at, i.*
         FROM orders AS o CROSS JOIN LATERAL (
             SELECT array_agg(p.id ORDER BY p.id) AS products, array_agg(p.name ORDER BY p.id) AS names,
                    array_agg(i.quantity ORDER BY p.id) AS quantities,
                    array_agg(i.unit_price_cents ORDER BY p.id) AS prices
             FROM order_items AS i JOIN products AS p ON p.id = i.product_id WHERE i.order_id = o.id
         ) AS i
         WHERE o.user_id = $1 AND (o.created_at, o.id) < ($2, $3)
         ORDER BY o.created_at DESC, o.id DESC LIMIT $4",
    )
    .bind(user)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| row.order(user)).collect())
}

impl Row {
    fn order(self, user_id: Uuid) -> Order {
        let lines = self.products.into_iter().flatten().zip(self.names.into_iter().flatten());
        let amounts = self.quantities.into_iter().flatten().zip(self.prices.into_iter().flatten());
        let items = lines.zip(amounts).map(|((product_id, name), (quantity, cents))| OrderItem {
            product_id,
            name,
            quantity,
            unit_price: Cents(cents),
        });
        Order {
            id: self.id,
            user_id,
            status: self.status,
            total: self.total_cents,
            created_at: self.created_at,
            items: items.collect(),
        }
    }
}
