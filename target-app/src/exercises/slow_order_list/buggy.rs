use super::*;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;

    for order in &mut orders {
        for line in lines_of(pool, order.id).await? {
            let name = product_name(pool, line.product_id).await?;
            order.items.push(line.called(name));
        }
    }

    Ok(orders)
}
