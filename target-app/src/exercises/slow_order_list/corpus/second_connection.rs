use super::*;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // One snapshot, so that no order is listed without its items.
    let mut snapshot = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut orders = orders::without_items(&mut *snapshot, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    snapshot.commit().await?;
    Ok(orders)
}
