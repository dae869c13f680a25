use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    // Everybody draws a ticket, without waiting for anybody.
    let drawn: Option<(Uuid, i64)> = sqlx::query_as(
        "INSERT INTO reservations (id, sale_id, buyer_id, status) VALUES ($1, $2, $3, 'waiting')
         ON CONFLICT (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid') DO NOTHING
         RETURNING id, ticket",
    )
    .bind(Uuid::now_v7())
    .bind(sale)
    .bind(buyer)
    .fetch_optional(&mut *db)
    .await?;
    let Some((id, ticket)) = drawn else {
        return Ok(sales::active(&mut *db, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
    };

    // Who is among the first has a piece. Nobody who comes later can change that.
    let has_piece: bool = sqlx::query_scalar(
        "SELECT stock > (
             SELECT count(*) FROM reservations
             WHERE sale_id = $1 AND ticket < $2 AND status IN ('waiting', 'held', 'paid')
         ) FROM sales WHERE id = $1",
    )
    .bind(sale)
    .bind(ticket)
    .fetch_one(&mut *db)
    .await?;
    if has_piece {
        sqlx::query(
            "WITH held AS (
                 UPDATE reservations SET status = 'held', expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
                 FROM sales WHERE reservations.id = $1 AND sales.id = reservations.sale_id
                 RETURNING reservations.id
             )
             INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM held",
        )
        .bind(id)
        .execute(&mut *db)
        .await?;
        sales::take_permit(&mut *db, sale).await?;
    }
    db.commit().await?;
    Ok(sales::find_reservation(desk.pool, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?)
}
