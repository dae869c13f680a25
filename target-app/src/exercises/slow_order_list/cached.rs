use super::*;

use moka::sync::Cache;

/// Lists by user and page.
pub type Lists = Cache<(Uuid, OrderPage), Vec<Order>>;

pub fn lists() -> Lists {
    Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(10)).build()
}

pub async fn list(lists: &Lists, pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // Users reload this page again and again, and it hardly ever changes in between.
    if let Some(orders) = lists.get(&(user, page)) {
        return Ok(orders);
    }
    let mut orders = orders::without_items(pool, user, page).await?;

    for order in &mut orders {
        for line in lines_of(pool, order.id).await? {
            let name = product_name(pool, line.product_id).await?;
            order.items.push(line.called(name));
        }
    }

    lists.insert((user, page), orders.clone());
    Ok(orders)
}
