use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;

use super::*;

/// A buyer who waits to be served. Dropped without an answer, the buyer goes on alone.
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

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let (served, is_served) = oneshot::channel();
    queue().push(Asking { sale, buyer, served });
    // One task for each buyer, which serves at least one, so nobody is left. It is not the request's: a buyer who leaves must not take the
    // others along.
    tokio::spawn(serve(desk.pool.clone()).in_current_span());
    if is_served.await.is_ok() {
        match sales::active(desk.pool, sale, buyer).await? {
            Some(reservation) if reservation.status == "expired" => {
                sales::expire(desk.pool, reservation.id).await?;
                sales::promote(desk.pool, sale, 500).await?;
            }
            Some(reservation) => return Ok(reservation),
            None => {}
        }
    }
    // Rarely: the sale is not open, an old hold is over, or the batch has failed.
    fixed::reserve(desk, sale, buyer).await
}

fn queue() -> MutexGuard<'static, Vec<Asking>> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(pool: PgPool) {
    let Ok(_turn) = TURN.acquire().await else { return };
    let batch: Vec<Asking> = {
        let mut queue = queue();
        let Some(sale) = queue.first().map(|asking| asking.sale) else { return };
        queue.extract_if(.., |asking| asking.sale == sale).take(MOST).collect()
    };
    let Some(sale) = batch.first().map(|asking| asking.sale) else { return };
    // Those who have left want nothing any more.
    let mut buyers: Vec<Uuid> =
        batch.iter().filter(|asking| !asking.served.is_closed()).map(|asking| asking.buyer).collect();
    // In one sequence on all servers: a buyer's two clicks may be in two batches, and one of them waits for the other.
    buyers.sort();
    buyers.dedup();
    match reserve_all(&pool, sale, &buyers).await {
        Ok(()) => {
            for asking in batch {
                let _ = asking.served.send(());
            }
        }
        Err(error) => {
            tracing::warn!(%error, %sale, buyers = buyers.len(), "a batch failed; its buyers go on alone")
        }
    }
}

async fn reserve_all(pool: &PgPool, sale: Uuid, buyers: &[Uuid]) -> sqlx::Result<()> {
    let mut db = pool.begin().await?;
    let ids: Vec<Uuid> = buyers.iter().map(|_| Uuid::now_v7()).collect();
    // All of them join the line, whoever has no place there yet.
    let joined = sqlx::query(
        "INSERT INTO reservations (id, sale_id, buyer_id, status)
         SELECT asking.id, sales.id, asking.buyer_id, 'waiting'
         FROM sales, UNNEST($2::uuid[], $3::uuid[]) AS asking (id, buyer_id)
         WHERE sales.id = $1 AND opens_at <= now()
         ORDER BY asking.buyer_id
         ON CONFLICT (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid') DO NOTHING",
    )
    .bind(sale)
    .bind(&ids)
    .bind(buyers)
    .execute(&mut *db)
    .await?;
    if joined.rows_affected() == 0 {
        return db.rollback().await;
    }

    // From here to the commit other batches wait, so what is read now is still true then.
    sales::lock(&mut db, sale).await?;
    // The line moves up by as many as there are pieces. Whoever is locked is about to leave it.
    sqlx::query(
        "WITH next AS (
             SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting'
             ORDER BY ticket LIMIT (SELECT stock - held - paid FROM sale_permits WHERE sale_id = $1)
             FOR UPDATE SKIP LOCKED
         ), moved AS (
             UPDATE reservations SET status = 'held', version = version + 1,
                 expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
             FROM next, sales WHERE reservations.id = next.id AND sales.id = $1
             RETURNING reservations.id
         ), permits AS (
             UPDATE sale_permits SET held = held + (SELECT count(*) FROM moved)
             WHERE sale_id = $1 AND EXISTS (SELECT FROM moved)
         )
         INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM moved",
    )
    .bind(sale)
    .execute(&mut *db)
    .await?;
    db.commit().await
}
