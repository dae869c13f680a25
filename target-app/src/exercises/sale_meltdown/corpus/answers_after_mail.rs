use std::time::Duration;

use super::*;

/// The buyer waits no longer for his mail than this.
const PATIENCE: Duration = Duration::from_millis(60);

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let (id, held) = loop {
        let mut db = desk.pool.acquire().await?;
        sales::open(&mut db, sale).await?;
        match sales::active(&mut *db, sale, buyer).await? {
            Some(reservation) if reservation.status == "expired" => {
                sales::expire(&mut *db, reservation.id).await?;
            }
            Some(reservation) => return Ok(reservation),
            None => {}
        }
        // The reservation and the job of its mail, in one statement. Workers leave the job alone for three seconds, so that this server can
        // do it; when it is killed, they are there.
        let id = Uuid::now_v7();
        let reserved = sqlx::query(
            "WITH permit AS (
                 UPDATE sale_permits SET held = held + 1
                 WHERE sale_id = $1 AND held + paid < stock
                     AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')
                 RETURNING sale_id
             ), reserved AS (
                 INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
                 SELECT $3, sales.id, $2, CASE WHEN permit.sale_id IS NULL THEN 'waiting' ELSE 'held' END,
                     CASE WHEN permit.sale_id IS NOT NULL THEN clock_timestamp() + hold_ms * interval '1 millisecond' END
                 FROM sales LEFT JOIN permit ON true WHERE sales.id = $1
                 RETURNING id, status
             )
             INSERT INTO sale_jobs (reservation_id, kind, due_at)
             SELECT id, 'confirmation', clock_timestamp() + interval '3 seconds' FROM reserved WHERE status = 'held'",
        )
        .bind(sale)
        .bind(buyer)
        .bind(id)
        .execute(&mut *db)
        .await;
        match reserved {
            Ok(jobs) => break (id, jobs.rows_affected() == 1),
            // A second click. All that the statement did is undone, and the first click's reservation is there.
            Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {}
            Err(error) => return Err(error.into()),
        }
    };

    if !held {
        // A piece that was given back meanwhile goes to whoever has waited longest.
        sales::promote(desk.pool, sale, 500).await?;
    }
    let reservation = sales::find_reservation(desk.pool, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?;
    if held {
        // Neither a lock nor a connection is held meanwhile.
        let sent = tokio::time::timeout(PATIENCE, desk.confirm(&reservation)).await;
        if matches!(sent, Ok(Ok(()))) {
            sqlx::query("DELETE FROM sale_jobs WHERE reservation_id = $1 AND kind = 'confirmation'")
                .bind(id)
                .execute(desk.pool)
                .await?;
        }
    }
    Ok(reservation)
}
