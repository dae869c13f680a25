use super::*;

use std::sync::LazyLock;

use moka::sync::Cache;

/// A page, and the user's newest order just before it was read.
type Tagged = (Option<Uuid>, Vec<Order>);

static LISTS: LazyLock<Cache<(Uuid, OrderPage), Tagged>> = LazyLock::new(|| Cache::new(10_000));

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // Orders are only ever added, and each new one is the newest: one step into the index tells whether a list is
    // still what the database would say.
    let newest: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM orders WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .bind(user)
    .fetch_optional(pool)
    .await?;
    if let Some((tag, orders)) = LISTS.get(&(user, page))
        && tag == newest
    {
        return Ok(orders);
    }

    // The tag was read before the list: a list may be newer than its tag, never older.
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }

    LISTS.insert((user, page), (newest, orders.clone()));
    Ok(orders)
}
