use super::*;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    // The look-ups are not the handler's business: it waits for one task, which does the work.
    let pool = pool.clone();
    let summing = tokio::spawn(async move {
        let orders = orders_of(&pool, restaurant).await?;
        let mut names: HashMap<Uuid, String> = HashMap::new();
        let mut items = HashMap::new();
        for order in &orders {
            for line in lines_of(&pool, order.id).await? {
                let name = match names.get(&line.menu_item_id) {
                    Some(name) => name.clone(),
                    None => dish_name(&pool, line.menu_item_id).await?,
                };
                names.insert(line.menu_item_id, name.clone());
                count(&mut items, &line, name);
            }
        }
        let revenue = orders.iter().map(|order| order.total_cents).sum();
        Ok(Analytics::new(orders.len() as i64, revenue, items.into_values().collect()))
    });
    summing.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
