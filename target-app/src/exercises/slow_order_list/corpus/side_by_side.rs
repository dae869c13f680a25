use super::*;

use std::collections::HashMap;

use futures::future::try_join;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // The items can be found by the page as well as by the orders, so neither statement waits for the other: one round
    // trip instead of two.
    let (mut orders, mut items) =
        try_join(orders::without_items(pool, user, page), items_of_page(pool, user, page)).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    Ok(orders)
}

#[derive(sqlx::FromRow)]
struct Row {
    order_id: Uuid,
    #[sqlx(flatten)]
    item: OrderItem,
}

async fn items_of_page(
    pool: &PgPool,
    user: Uuid,
    page: OrderPage,
) -> sqlx::Result<HashMap<Uuid, Vec<OrderItem>>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT i.order_id, i.product_id, p.name, i.quantity, i.unit_price_cents
         FROM (
             SELECT id FROM orders
             WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4
         ) AS o
         JOIN order_items AS i ON i.order_id = o.id
         JOIN products AS p ON p.id = i.product_id
         ORDER BY i.order_id, i.product_id",
    )
    .bind(user)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch_all(pool)
    .await?;
    let mut items: HashMap<Uuid, Vec<OrderItem>> = HashMap::new();
    for row in rows {
        items.entry(row.order_id).or_default().push(row.item);
    }
    Ok(items)
}
