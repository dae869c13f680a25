use tokio::sync::OnceCell;

use super::*;

/// What the dishes are called. They are the same for years, and there are few of them.
static NAMES: OnceCell<HashMap<Uuid, String>> = OnceCell::const_new();

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let names = NAMES.get_or_try_init(|| read_names(pool)).await?;

    let mut db = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let (orders, revenue): (i64, Cents) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(total_cents), 0)::bigint FROM restaurant_orders
         WHERE restaurant_id = $1 AND status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_one(&mut *db)
    .await?;
    let dishes: Vec<(Uuid, i64, Cents)> = sqlx::query_as(
        "SELECT menu_item_id, sum(quantity)::bigint, sum(quantity * unit_price_cents)::bigint
         FROM restaurant_orders JOIN restaurant_order_items ON order_id = restaurant_orders.id
         WHERE restaurant_id = $1 AND status <> 'cancelled' GROUP BY menu_item_id",
    )
    .bind(restaurant)
    .fetch_all(&mut *db)
    .await?;
    let items = dishes.into_iter().filter_map(|(menu_item_id, quantity, revenue)| {
        let name = names.get(&menu_item_id)?.clone();
        Some(TopItem { menu_item_id, name, quantity, revenue })
    });
    Ok(Analytics::new(orders, revenue, items.collect()))
}

async fn read_names(pool: &PgPool) -> sqlx::Result<HashMap<Uuid, String>> {
    let names: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT id, name FROM menu_items").fetch_all(pool).await?;
    Ok(names.into_iter().collect())
}
