use super::*;

use futures::future::try_join_all;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let orders = orders_of(pool, restaurant).await?;

    // The look-ups do not depend on each other, so there is no reason to wait for one before the next.
    let lines = try_join_all(orders.iter().map(|order| lines_of(pool, order.id))).await?.concat();
    let names = try_join_all(lines.iter().map(|line| dish_name(pool, line.menu_item_id))).await?;

    let mut items = HashMap::new();
    for (line, name) in lines.iter().zip(names) {
        count(&mut items, line, name);
    }

    let revenue = orders.iter().map(|order| order.total_cents).sum();
    Ok(Analytics::new(orders.len() as i64, revenue, items.into_values().collect()))
}
