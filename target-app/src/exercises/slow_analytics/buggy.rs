use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let orders = order_ids(pool, restaurant).await?;

    let mut items = HashMap::new();
    for order in &orders {
        for line in lines_of(pool, *order).await? {
            let name = dish_name(pool, line.menu_item_id).await?;
            count(&mut items, &line, name);
        }
    }

    let revenue = items.values().map(|item| item.revenue).sum();
    Ok(Analytics::new(orders.len() as i64, revenue, items.into_values().collect()))
}
