use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    loop {
        // Not before the sale opens.
        let mut db = desk.pool.acquire().await?;
        sales::open(&mut db, sale).await?;
        match sales::active(&mut *db, sale, buyer).await? {
            Some(reservation) if reservation.status == "expired" => {
                sales::expire(&mut *db, reservation.id).await?;
            }
            Some(reservation) => return Ok(reservation),
            None => {}
        }

        // One statement, and the row is locked for no longer: takes a permit if there is one, and has the mail sent.
        let reserved = sqlx::query(
            "WITH permit AS (
                 UPDATE sale_permits SET held = held + 1 WHERE sale_id = $1 AND held + paid < stock RETURNING sale_id
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
        .bind(Uuid::now_v7())
        .execute(&mut *db)
        .await;
        match reserved {
            Ok(_) => {
                return Ok(sales::active(&mut *db, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
            }
            // A second click gets what the first one has.
            Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
