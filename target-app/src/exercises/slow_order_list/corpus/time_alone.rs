use super::*;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let page = OrderPage { after: (page.after.0, Uuid::nil()), ..page };
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    Ok(orders)
}
