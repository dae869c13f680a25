use super::*;

use std::collections::{HashMap, HashSet};

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let lines: Vec<(Uuid, Uuid, i32, Cents)> = sqlx::query_as(
        "SELECT order_id, product_id, quantity, unit_price_cents FROM order_items WHERE order_id = ANY($1)",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await?;
    let products: HashSet<Uuid> = lines.iter().map(|line| line.1).collect();
    let names: Vec<(Uuid, String)> = sqlx::query_as("SELECT id, name FROM products WHERE id = ANY($1)")
        .bind(products.into_iter().collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
    let names: HashMap<Uuid, String> = names.into_iter().collect();

    let mut items: HashMap<Uuid, Vec<OrderItem>> = HashMap::new();
    for (order, product_id, quantity, unit_price) in lines {
        let name = names.get(&product_id).cloned().unwrap_or_default();
        items.entry(order).or_default().push(OrderItem { product_id, name, quantity, unit_price });
    }
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
        order.items.sort_by_key(|item| item.product_id);
    }
    Ok(orders)
}
