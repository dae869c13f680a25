use super::*;

use std::collections::HashMap;

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;
    let mut names: HashMap<Uuid, String> = HashMap::new();
    for order in &mut orders {
        for line in lines_of(pool, order.id).await? {
            let name = match names.get(&line.product_id) {
                Some(name) => name.clone(),
                None => product_name(pool, line.product_id).await?,
            };
            names.insert(line.product_id, name.clone());
            order.items.push(line.called(name));
        }
    }
    Ok(orders)
}
