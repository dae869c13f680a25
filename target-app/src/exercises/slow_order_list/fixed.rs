use super::*;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;

    // The items of all orders, with the names of the products: one more statement, however many orders there are.
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }

    Ok(orders)
}
