use super::*;

use sqlx::{Connection, PgConnection};

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    let mut connection = pool.acquire().await?;

    // Two statements, but figures of one moment: what is ordered between them must not be in one and not in the other.
    sqlx::query("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .execute(&mut *connection)
        .await?;
    let mut snapshot = connection.begin().await?;
    let (orders, revenue) = totals(&mut snapshot, restaurant).await?;
    let items = best_sellers(&mut snapshot, restaurant).await?;
    snapshot.commit().await?;

    Ok(Analytics::new(orders, revenue, items))
}

async fn totals(connection: &mut PgConnection, restaurant: Uuid) -> sqlx::Result<(i64, Cents)> {
    sqlx::query_as(
        "SELECT count(*), coalesce(sum(total_cents), 0)::bigint FROM restaurant_orders
         WHERE restaurant_id = $1 AND status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_one(connection)
    .await
}

async fn best_sellers(connection: &mut PgConnection, restaurant: Uuid) -> sqlx::Result<Vec<TopItem>> {
    let rows: Vec<(Uuid, String, i64, Cents)> = sqlx::query_as(
        "SELECT sold.menu_item_id, menu_items.name, sold.quantity, sold.cents
         FROM (
             SELECT i.menu_item_id, sum(i.quantity)::bigint AS quantity,
                    sum(i.quantity * i.unit_price_cents)::bigint AS cents
             FROM restaurant_orders AS o JOIN restaurant_order_items AS i ON i.order_id = o.id
             WHERE o.restaurant_id = $1 AND o.status <> 'cancelled'
             GROUP BY i.menu_item_id ORDER BY 2 DESC, 1 LIMIT $2
         ) AS sold
         JOIN menu_items ON menu_items.id = sold.menu_item_id",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(connection)
    .await?;
    let items = rows.into_iter().map(|(menu_item_id, name, quantity, revenue)| TopItem {
        menu_item_id,
        name,
        quantity,
        revenue,
    });
    Ok(items.collect())
}
