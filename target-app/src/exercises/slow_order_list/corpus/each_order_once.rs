use super::*;

use std::sync::LazyLock;

use moka::sync::Cache;

/// The items of orders, which never change after the order was placed.
static ITEMS: LazyLock<Cache<Uuid, Vec<OrderItem>>> = LazyLock::new(|| {
    // Names may be corrected, so nothing is kept for much longer than somebody browses.
    Cache::builder().max_capacity(100_000).time_to_live(Duration::from_secs(600)).build()
});

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // Which orders there are, and their status, always comes from the database.
    let mut orders = orders::without_items(pool, user, page).await?;

    for order in &mut orders {
        order.items = match ITEMS.get(&order.id) {
            Some(items) => items,
            None => {
                // Once an order: at most what was bought since the last look.
                let mut found = orders::items_of(pool, &[order.id]).await?;
                let items = found.remove(&order.id).unwrap_or_default();
                ITEMS.insert(order.id, items.clone());
                items
            }
        };
    }

    Ok(orders)
}
