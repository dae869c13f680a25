use super::*;

use std::sync::LazyLock;

use moka::sync::Cache;
use sqlx::PgConnection;

/// A page, and the fingerprint of the rows that it was made of.
type Printed = (String, Vec<Order>);

static LISTS: LazyLock<Cache<(Uuid, OrderPage), Printed>> = LazyLock::new(|| Cache::new(1_000));

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // The fingerprint and the list are of the same snapshot, so that one can stand for the other.
    let mut snapshot = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let fingerprint = fingerprint(&mut snapshot, user, page).await?;
    if let Some((known, orders)) = LISTS.get(&(user, page))
        && known == fingerprint
    {
        snapshot.commit().await?;
        return Ok(orders);
    }

    let mut orders = orders::without_items(&mut *snapshot, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(&mut *snapshot, &ids).await?;
    snapshot.commit().await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }

    LISTS.insert((user, page), (fingerprint, orders.clone()));
    Ok(orders)
}

/// Of everything that is in the list. The xmin of a row is another one after each change; products change with every
/// sale, so that their names stand for them.
async fn fingerprint(connection: &mut PgConnection, user: Uuid, page: OrderPage) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "SELECT COALESCE(MD5(STRING_AGG(
             ROW(o.id, o.version, i.product_id, i.xmin, p.name)::text, ''
             ORDER BY o.created_at DESC, o.id DESC, i.product_id
         )), '')
         FROM (
             SELECT id, created_at, xmin AS version FROM orders
             WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4
         ) AS o
         LEFT JOIN order_items AS i ON i.order_id = o.id
         LEFT JOIN products AS p ON p.id = i.product_id",
    )
    .bind(user)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch_one(connection)
    .await
}
