use super::*;

use futures::future::try_join_all;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;

    // The look-ups do not depend on each other, so there is no reason to wait for one before the next.
    let completed = orders.iter_mut().map(async |order| {
        let lines = lines_of(pool, order.id).await?;
        let names = try_join_all(lines.iter().map(|line| product_name(pool, line.product_id))).await?;
        order.items = lines.into_iter().zip(names).map(|(line, name)| line.called(name)).collect();
        Ok::<_, sqlx::Error>(())
    });
    try_join_all(completed).await?;

    Ok(orders)
}
