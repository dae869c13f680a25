use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    loop {
        let mut db = desk.pool.begin().await?;
        sales::open(&mut db, sale).await?;
        // First what no other buyer waits for. A second click waits here for the first one's transaction, and has not taken anything yet.
        let joined: Option<Uuid> = sqlx::query_scalar(
            "INSERT INTO reservations (id, sale_id, buyer_id, status) VALUES ($1, $2, $3, 'waiting')
             ON CONFLICT (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid') DO NOTHING
             RETURNING id",
        )
        .bind(Uuid::now_v7())
        .bind(sale)
        .bind(buyer)
        .fetch_optional(&mut *db)
        .await?;
        let Some(id) = joined else {
            db.rollback().await?;
            match sales::active(desk.pool, sale, buyer).await? {
                Some(reservation) if reservation.status == "expired" => {
                    // Its piece goes to whoever has waited longest.
                    sales::expire(desk.pool, reservation.id).await?;
                    sales::promote(desk.pool, sale, 500).await?;
                    continue;
                }
                Some(reservation) => return Ok(reservation),
                None => continue,
            }
        };

        // The row that everybody wants comes last: it is locked for one round trip, that of the commit.
        let taken = sqlx::query(
            "WITH permit AS (
                 UPDATE sale_permits SET held = held + 1
                 WHERE sale_id = $1 AND held + paid < stock
                     AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting' AND id <> $2)
                 RETURNING sale_id
             ), held AS (
                 UPDATE reservations SET status = 'held', expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
                 FROM permit JOIN sales ON sales.id = permit.sale_id WHERE reservations.id = $2
                 RETURNING reservations.id
             )
             INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM held",
        )
        .bind(sale)
        .bind(id)
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        if taken.rows_affected() == 0 {
            // Somebody may have given a piece back before this place on the waiting list could be seen.
            sales::promote(desk.pool, sale, 500).await?;
        }
        return Ok(sales::find_reservation(desk.pool, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
    }
}
