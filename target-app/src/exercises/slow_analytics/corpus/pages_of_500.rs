use super::*;

/// Orders in one page: enough for most restaurants, and no answer of the database is ever large.
const PAGE: i64 = 500;

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let mut items = HashMap::new();
    let mut orders = 0;
    let mut revenue = 0;
    loop {
        let page: Vec<Placed> = sqlx::query_as(
            "SELECT id, total_cents FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled'
             ORDER BY id LIMIT $2 OFFSET $3",
        )
        .bind(restaurant)
        .bind(PAGE)
        .bind(orders)
        .fetch_all(pool)
        .await?;
        for (line, name) in lines_of_all(pool, &page).await? {
            count(&mut items, &line, name);
        }
        orders += page.len() as i64;
        revenue += page.iter().map(|order| order.total_cents.0).sum::<i64>();
        if (page.len() as i64) < PAGE {
            break;
        }
    }
    Ok(Analytics::new(orders, Cents(revenue), items.into_values().collect()))
}

/// The lines of a page of orders, with the names of their dishes.
async fn lines_of_all(pool: &PgPool, orders: &[Placed]) -> sqlx::Result<Vec<(Line, String)>> {
    let rows: Vec<(Uuid, i32, Cents, String)> = sqlx::query_as(
        "SELECT menu_item_id, quantity, unit_price_cents, name
         FROM restaurant_order_items JOIN menu_items ON menu_items.id = menu_item_id
         WHERE order_id = ANY($1)",
    )
    .bind(orders.iter().map(|order| order.id).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let lines = rows.into_iter().map(|(menu_item_id, quantity, unit_price_cents, name)| {
        (Line { menu_item_id, quantity, unit_price_cents }, name)
    });
    Ok(lines.collect())
}
