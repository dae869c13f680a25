use super::*;

use chrono::{DateTime, Utc};

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    // Plain comparisons instead of one of rows: the planner has statistics for them. Ids sort by the time of the order,
    // so that both say the same except for orders of the same microsecond, which the id tells apart.
    let rows: Vec<(Uuid, String, Cents, DateTime<Utc>)> = sqlx::query_as(
        "SELECT id, status, total_cents, created_at FROM orders
         WHERE user_id = $1 AND created_at <= $2 AND id < $3 ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(user)
    .bind(page.after.0)
    .bind(page.after.1)
    .bind(page.limit)
    .fetch_all(pool)
    .await?;

    let ids: Vec<Uuid> = rows.iter().map(|row| row.0).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    let orders = rows.into_iter().map(|(id, status, total, created_at)| Order {
        id,
        user_id: user,
        status,
        total,
        created_at,
        items: items.remove(&id).unwrap_or_default(),
    });
    Ok(orders.collect())
}
