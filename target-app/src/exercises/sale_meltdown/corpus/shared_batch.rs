use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;

use super::*;

/// A buyer who waits to be served.
struct Asking {
    sale: Uuid,
    buyer: Uuid,
    served: oneshot::Sender<()>,
}

static QUEUE: Mutex<Vec<Asking>> = Mutex::new(Vec::new());

/// One batch at a time: those who come meanwhile are the next one.
static TURN: Semaphore = Semaphore::const_new(1);

/// Buyers in a batch.
const MOST: usize = 64;

/// Buyers who come at the same time share one lock of the row and one commit, so the more come, the less each of them costs.
pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    if let Some(reservation) = sales::active(&mut *db, sale, buyer).await? {
        return Ok(reservation);
    }
    drop(db);

    let (served, is_served) = oneshot::channel();
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner).push(Asking { sale, buyer, served });
    // A task of its own: a buyer who leaves must not take the others along.
    tokio::spawn(serve(desk.pool.clone()).in_current_span());
    if is_served.await.is_err() {
        return Err(CallError::Busy { service: "sale" }.into());
    }
    Ok(sales::active(desk.pool, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?)
}

async fn serve(pool: PgPool) {
    let Ok(_turn) = TURN.acquire().await else { return };
    let batch: Vec<Asking> = {
        let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sale) = queue.first().map(|asking| asking.sale) else { return };
        queue.extract_if(.., |asking| asking.sale == sale).take(MOST).collect()
    };
    let Some(sale) = batch.first().map(|asking| asking.sale) else { return };
    let mut buyers: Vec<Uuid> = batch.iter().map(|asking| asking.buyer).collect();
    buyers.sort();
    // Two clicks of one buyer.
    buyers.dedup();
    match write(&pool, sale, &buyers).await {
        Ok(()) => {
            for asking in batch {
                let _ = asking.served.send(());
            }
        }
        // Nothing of it was done, and all of them are told so.
        Err(error) => tracing::warn!(%error, %sale, buyers = buyers.len(), "a batch could not be reserved"),
    }
}

async fn write(pool: &PgPool, sale: Uuid, buyers: &[Uuid]) -> sqlx::Result<()> {
    let mut db = pool.begin().await?;
    let left: i64 =
        sqlx::query_scalar("SELECT stock - held - paid FROM sale_permits WHERE sale_id = $1 FOR UPDATE")
            .bind(sale)
            .fetch_one(&mut *db)
            .await?;
    let left = if sales::has_waiting(&mut *db, sale).await? { 0 } else { left };
    let ids: Vec<Uuid> = buyers.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query(
        "WITH reserved AS (
             INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
             SELECT asking.id, sales.id, asking.buyer_id, CASE WHEN place <= $4 THEN 'held' ELSE 'waiting' END,
                 CASE WHEN place <= $4 THEN clock_timestamp() + hold_ms * interval '1 millisecond' END
             FROM sales, UNNEST($2::uuid[], $3::uuid[]) WITH ORDINALITY AS asking (id, buyer_id, place)
             WHERE sales.id = $1
             RETURNING id, status
         ), job AS (
             INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM reserved WHERE status = 'held'
         )
         UPDATE sale_permits SET held = held + (SELECT count(*) FROM reserved WHERE status = 'held') WHERE sale_id = $1",
    )
    .bind(sale)
    .bind(&ids)
    .bind(buyers)
    .bind(left)
    .execute(&mut *db)
    .await?;
    db.commit().await
}
