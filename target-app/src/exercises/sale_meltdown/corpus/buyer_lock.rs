use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    // A buyer's clicks take turns, on all servers. Nobody else waits for this lock.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1::text || $2::text, 0))")
        .bind(sale)
        .bind(buyer)
        .execute(&mut *db)
        .await?;
    let sale = sales::open(&mut db, sale).await?.id;
    match sales::active(&mut *db, sale, buyer).await? {
        Some(reservation) if reservation.status == "expired" => {
            sales::expire(&mut *db, reservation.id).await?;
        }
        Some(reservation) => return Ok(reservation),
        None => {}
    }

    // So the insert below cannot fail, and the permit is taken by the last statement before the commit.
    let id = Uuid::now_v7();
    let jobs = sqlx::query(
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
         INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM reserved WHERE status = 'held'",
    )
    .bind(sale)
    .bind(buyer)
    .bind(id)
    .execute(&mut *db)
    .await?;
    db.commit().await?;
    if jobs.rows_affected() == 0 {
        // A piece that was given back while nobody was seen to wait is this buyer's, or of somebody who has waited for longer.
        sales::promote(desk.pool, sale, 500).await?;
    }
    Ok(sales::find_reservation(desk.pool, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?)
}
