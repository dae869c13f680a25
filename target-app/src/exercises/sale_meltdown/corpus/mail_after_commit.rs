use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    drop(db);
    if let Some(reservation) = sales::active(desk.pool, sale, buyer).await? {
        return Ok(reservation);
    }
    let Some(id) = take(desk.pool, sale, buyer).await? else {
        return Ok(sales::active(desk.pool, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
    };
    let reservation = sales::find_reservation(desk.pool, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?;

    // It is committed, so the mail is not for nothing, and nobody waits for it but this buyer.
    if reservation.status == "held" {
        desk.confirm(&reservation).await?;
    }
    Ok(reservation)
}

/// Takes a permit, if there is one, and writes the reservation down. None when the buyer has clicked twice.
async fn take(pool: &PgPool, sale: Uuid, buyer: Uuid) -> sqlx::Result<Option<Uuid>> {
    let taken = sqlx::query_scalar(
        "WITH permit AS (
             UPDATE sale_permits SET held = held + 1
             WHERE sale_id = $1 AND held + paid < stock
                 AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')
             RETURNING sale_id
         )
         INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
         SELECT $3, sales.id, $2, CASE WHEN permit.sale_id IS NULL THEN 'waiting' ELSE 'held' END,
             CASE WHEN permit.sale_id IS NOT NULL THEN clock_timestamp() + hold_ms * interval '1 millisecond' END
         FROM sales LEFT JOIN permit ON true WHERE sales.id = $1
         RETURNING id",
    )
    .bind(sale)
    .bind(buyer)
    .bind(Uuid::now_v7())
    .fetch_one(pool)
    .await;
    match taken {
        Ok(id) => Ok(Some(id)),
        Err(error) if sales::is_second_click(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
