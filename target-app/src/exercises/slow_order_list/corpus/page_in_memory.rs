use super::*;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let all = OrderPage::newest(i64::MAX);
    let mut orders = orders::without_items(pool, user, all).await?;
    orders.retain(|order| (order.created_at, order.id) < page.after);
    orders.truncate(page.limit as usize);
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    Ok(orders)
}
