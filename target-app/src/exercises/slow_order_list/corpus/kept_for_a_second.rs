use super::*;

use std::sync::LazyLock;

use moka::sync::Cache;

static LISTS: LazyLock<Cache<(Uuid, OrderPage), Vec<Order>>> =
    LazyLock::new(|| Cache::builder().max_capacity(1_000).time_to_live(Duration::from_secs(1)).build());

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    if let Some(orders) = LISTS.get(&(user, page)) {
        return Ok(orders);
    }
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    LISTS.insert((user, page), orders.clone());
    Ok(orders)
}
