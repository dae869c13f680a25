use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    // Everything in one statement, so there is no round trip under a lock. Whoever has a reservation takes no permit, and the unique index
    // sees to it that a buyer has one.
    sqlx::query(
        "WITH permit AS (
             UPDATE sale_permits SET held = held + 1
             WHERE sale_id = $1 AND held + paid < stock
                 AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')
                 AND NOT EXISTS (
                     SELECT FROM reservations
                     WHERE sale_id = $1 AND buyer_id = $2 AND status IN ('waiting', 'held', 'paid')
                 )
             RETURNING sale_id
         ), reserved AS (
             INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
             SELECT $3, sales.id, $2, CASE WHEN permit.sale_id IS NULL THEN 'waiting' ELSE 'held' END,
                 CASE WHEN permit.sale_id IS NOT NULL THEN clock_timestamp() + hold_ms * interval '1 millisecond' END
             FROM sales LEFT JOIN permit ON true WHERE sales.id = $1
             ON CONFLICT (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid') DO NOTHING
             RETURNING id, status
         )
         INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM reserved WHERE status = 'held'",
    )
    .bind(sale)
    .bind(buyer)
    .bind(Uuid::now_v7())
    .execute(&mut *db)
    .await?;
    Ok(sales::active(&mut *db, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?)
}
