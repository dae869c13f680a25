use super::*;

use std::mem;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

struct Asker {
    user: Uuid,
    page: OrderPage,
    answer: oneshot::Sender<Vec<Order>>,
}

/// Those who asked within the last millisecond: they share two statements.
static ASKERS: Mutex<Vec<Asker>> = Mutex::new(Vec::new());

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let (answer, answered) = oneshot::channel();
    let is_first = {
        let mut askers = ASKERS.lock().unwrap();
        askers.push(Asker { user, page, answer });
        askers.len() == 1
    };
    if is_first {
        let pool = pool.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let askers = mem::take(&mut *ASKERS.lock().unwrap());
            answer_all(&pool, askers).await
        });
    }
    if let Ok(orders) = answered.await {
        return Ok(orders);
    }
    // Without an answer there is no order, or the database has a problem: this tells which.
    let mut orders = orders::without_items(pool, user, page).await?;
    let mut items = orders::items_of(pool, &orders.iter().map(|order| order.id).collect::<Vec<_>>()).await?;
    orders.iter_mut().for_each(|order| order.items = items.remove(&order.id).unwrap_or_default());
    Ok(orders)
}

async fn answer_all(pool: &PgPool, askers: Vec<Asker>) -> sqlx::Result<()> {
    let rows: Vec<(i64, Uuid, String, Cents, DateTime<Utc>)> = sqlx::query_as(
        "SELECT a.nth, o.id, o.status, o.total_cents, o.created_at
         FROM UNNEST($1::uuid[], $2::timestamptz[], $3::uuid[], $4::bigint[])
             WITH ORDINALITY AS a (user_id, after_time, after_id, orders, nth)
         CROSS JOIN LATERAL (
             SELECT id, status, total_cents, created_at FROM orders
             WHERE user_id = a.user_id AND (created_at, id) < (a.after_time, a.after_id)
             ORDER BY created_at DESC, id DESC LIMIT a.orders
         ) AS o
         ORDER BY a.nth, o.created_at DESC, o.id DESC",
    )
    .bind(askers.iter().map(|asker| asker.user).collect::<Vec<_>>())
    .bind(askers.iter().map(|asker| asker.page.after.0).collect::<Vec<_>>())
    .bind(askers.iter().map(|asker| asker.page.after.1).collect::<Vec<_>>())
    .bind(askers.iter().map(|asker| asker.page.limit).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    // Two may have asked for the same orders, so that items are copied and not taken.
    let items = orders::items_of(pool, &rows.iter().map(|row| row.1).collect::<Vec<_>>()).await?;

    for (asker, rows) in askers.into_iter().zip(rows.chunk_by(|one, next| one.0 == next.0)) {
        let orders = rows.iter().map(|(_, id, status, total, created_at)| Order {
            id: *id,
            user_id: asker.user,
            status: status.clone(),
            total: *total,
            created_at: *created_at,
            items: items.get(id).cloned().unwrap_or_default(),
        });
        let _ = asker.answer.send(orders.collect());
    }
    Ok(())
}
