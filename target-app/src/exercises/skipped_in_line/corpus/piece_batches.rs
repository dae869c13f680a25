use std::collections::BTreeMap;
use std::sync::{Mutex, Once, PoisonError};

use super::*;

/// Pieces of each sale whose permits are taken, for those who are first in line.
static PIECES: Mutex<BTreeMap<Uuid, i64>> = Mutex::new(BTreeMap::new());

/// The task that gives them out.
static GIVER: Once = Once::new();

/// So often.
const EVERY: Duration = Duration::from_millis(500);

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    GIVER.call_once(|| {
        tokio::spawn(give_out(pool.clone()));
    });
    // One short statement with the row that everybody wants. After it, nobody else can take the piece.
    let taken = sqlx::query(
        "UPDATE sale_permits SET held = held + 1
         WHERE sale_id = $1 AND held + paid < stock
             AND EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')",
    )
    .bind(sale)
    .execute(pool)
    .await?;
    if taken.rows_affected() == 0 {
        return Ok(false);
    }
    pieces(|pieces| *pieces.entry(sale).or_default() += 1);
    Ok(true)
}

/// Gives out what has come together. What could not be given out goes along with the next ones.
async fn give_out(pool: PgPool) {
    loop {
        tokio::time::sleep(EVERY).await;
        for (sale, count) in pieces(std::mem::take) {
            if let Err(error) = promote(&pool, sale, count).await {
                tracing::warn!(%error, %sale, count, "pieces could not be given out");
                pieces(|pieces| *pieces.entry(sale).or_default() += count);
            }
        }
    }
}

/// Holds so many pieces for those who are first in line. Of what is too many, the permits are given back.
async fn promote(pool: &PgPool, sale: Uuid, count: i64) -> sqlx::Result<()> {
    let mut db = pool.begin().await?;
    sales::lock(&mut db, sale).await?;
    let promoted: i64 = sqlx::query_scalar(
        "WITH next AS MATERIALIZED (
             SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting' ORDER BY ticket LIMIT $2 FOR UPDATE
         ), promoted AS (
             UPDATE reservations SET status = 'held', version = version + 1,
                 expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
             FROM next, sales WHERE reservations.id = next.id AND sales.id = $1
             RETURNING reservations.id
         ), job AS (
             INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM promoted
         )
         SELECT count(*) FROM promoted",
    )
    .bind(sale)
    .bind(count)
    .fetch_one(&mut *db)
    .await?;
    sqlx::query("UPDATE sale_permits SET held = held - $2 WHERE sale_id = $1")
        .bind(sale)
        .bind(count - promoted)
        .execute(&mut *db)
        .await?;
    db.commit().await
}

fn pieces<T>(change: impl FnOnce(&mut BTreeMap<Uuid, i64>) -> T) -> T {
    change(&mut PIECES.lock().unwrap_or_else(PoisonError::into_inner))
}
