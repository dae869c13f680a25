use super::*;

/// An order's id and total, and one of its lines with the name of its dish. An order without lines has one row.
type Row = (Uuid, Cents, Option<Uuid>, Option<i32>, Option<Cents>, Option<String>);

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    // One statement, however many orders there are; what grows is its answer, at a few dozen bytes a line.
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT restaurant_orders.id, total_cents, menu_item_id, quantity, unit_price_cents, name
         FROM restaurant_orders
         LEFT JOIN restaurant_order_items ON order_id = restaurant_orders.id
         LEFT JOIN menu_items ON menu_items.id = menu_item_id
         WHERE restaurant_orders.restaurant_id = $1 AND status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_all(pool)
    .await?;

    // The join repeats an order for each of its lines; the map holds it once.
    let mut orders: HashMap<Uuid, Cents> = HashMap::new();
    let mut items = HashMap::new();
    for (order, total, menu_item_id, quantity, unit_price_cents, name) in rows {
        orders.insert(order, total);
        if let (Some(menu_item_id), Some(quantity), Some(unit_price_cents), Some(name)) =
            (menu_item_id, quantity, unit_price_cents, name)
        {
            count(&mut items, &Line { menu_item_id, quantity, unit_price_cents }, name);
        }
    }
    let revenue = orders.values().copied().sum();
    Ok(Analytics::new(orders.len() as i64, revenue, items.into_values().collect()))
}
