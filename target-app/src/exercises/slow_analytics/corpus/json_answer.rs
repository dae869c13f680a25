use serde::Deserialize;
use sqlx::types::Json;

use super::*;

/// A best seller as the database writes it: cents as whole numbers, which JSON keeps as they are.
#[derive(Deserialize)]
struct Dish {
    id: Uuid,
    name: String,
    quantity: i64,
    cents: i64,
}

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let (orders, revenue, dishes): (i64, Cents, Json<Vec<Dish>>) = sqlx::query_as(
        "WITH counted AS (
             SELECT id, total_cents FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled'
         ), sold AS (
             SELECT menu_items.id, name, sum(quantity)::bigint AS quantity,
                    sum(quantity * unit_price_cents)::bigint AS cents
             FROM restaurant_order_items
             JOIN counted ON counted.id = order_id
             JOIN menu_items ON menu_items.id = menu_item_id
             GROUP BY menu_items.id ORDER BY quantity DESC, menu_items.id LIMIT $2
         )
         SELECT (SELECT count(*) FROM counted),
                (SELECT coalesce(sum(total_cents), 0)::bigint FROM counted),
                (SELECT coalesce(jsonb_agg(to_jsonb(sold)), '[]') FROM sold)",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_one(pool)
    .await?;
    let items = dishes.0.into_iter().map(|dish| TopItem {
        menu_item_id: dish.id,
        name: dish.name,
        quantity: dish.quantity,
        revenue: Cents(dish.cents),
    });
    Ok(Analytics::new(orders, revenue, items.collect()))
}
