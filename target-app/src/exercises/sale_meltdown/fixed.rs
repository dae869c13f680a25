use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    loop {
        match acquire(desk.pool, sale, buyer).await {
            Ok(Some(reservation)) => return Ok(reservation),
            Ok(None) => return Err(sales::not_open(desk.pool, sale).await?.into()),
            // The whole statement is undone, its permit included.
            Err(error) if sales::is_second_click(&error) => sql_tally::failed(&error),
            Err(error) => return Err(error.into()),
        }
        let mut db = desk.pool.acquire().await?;
        if let Some(reservation) = sales::current(&mut db, sale, buyer).await? {
            return Ok(reservation);
        }
    }
}

/// Takes a permit if there is one and nobody waits, writes the reservation down, and leaves the confirmation as a job. It is one statement, so
/// the row that everybody wants is locked for as long as that takes inside the database. None when the sale is not open.
async fn acquire(pool: &PgPool, sale: Uuid, buyer: Uuid) -> sqlx::Result<Option<Reservation>> {
    sqlx::query_as(reservation!(
        "WITH open AS (
             SELECT id, hold_ms FROM sales WHERE id = $1 AND opens_at <= now()
         ), permit AS (
             UPDATE sale_permits SET held = held + 1 FROM open
             WHERE sale_id = open.id AND held + paid < stock
                 AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')
                 AND NOT EXISTS (
                     SELECT FROM reservations
                     WHERE sale_id = $1 AND buyer_id = $2 AND status IN ('waiting', 'held', 'paid')
                 )
             RETURNING hold_ms
         ), reserved AS (
             INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
             SELECT $3, open.id, $2, CASE WHEN hold_ends IS NULL THEN 'waiting' ELSE 'held' END, hold_ends
             FROM open LEFT JOIN (
                 SELECT clock_timestamp() + hold_ms * interval '1 millisecond' AS hold_ends FROM permit
             ) AS held ON true
             RETURNING *
         ), job AS (
             INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM reserved WHERE status = 'held'
         )
         SELECT",
        "FROM reserved AS reservations"
    ))
    .bind(sale)
    .bind(buyer)
    .bind(Uuid::now_v7())
    .fetch_optional(pool)
    .await
}
