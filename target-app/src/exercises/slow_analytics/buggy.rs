use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let orders = orders_of(pool, restaurant).await?;

    let mut items = HashMap::new();
    for order in &orders {
        for line in lines_of(pool, order.id).await? {
            let name = dish_name(pool, line.menu_item_id).await?;
            count(&mut items, &line, name);
        }
    }

    let revenue = orders.iter().map(|order| order.total_cents).sum();
    Ok(Analytics::new(orders.len() as i64, revenue, items.into_values().collect()))
}
