use tokio::sync::OnceCell;

use super::*;

/// The function is there.
static READY: OnceCell<()> = OnceCell::const_new();

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    READY.get_or_try_init(|| create_function(desk.pool)).await?;
    loop {
        let reserved: Option<Uuid> = sqlx::query_scalar("SELECT reserve_piece($1, $2, $3)")
            .bind(sale)
            .bind(buyer)
            .bind(Uuid::now_v7())
            .fetch_one(desk.pool)
            .await?;
        if let Some(id) = reserved {
            return Ok(sales::find_reservation(desk.pool, id, buyer)
                .await?
                .ok_or(sqlx::Error::RowNotFound)?);
        }
        match sales::active(desk.pool, sale, buyer).await? {
            Some(reservation) if reservation.status == "expired" => {
                sales::expire(desk.pool, reservation.id).await?;
                sales::promote(desk.pool, sale, 500).await?;
            }
            Some(reservation) => return Ok(reservation),
            // It is not open, unless the buyer's other reservation has just ended.
            None => {
                let mut db = desk.pool.acquire().await?;
                sales::open(&mut db, sale).await?;
            }
        }
    }
}

/// Several statements, and one round trip for all of them. The row that everybody wants is locked last, and the lock ends with the call.
/// It is locked whether a piece is left or not: so whoever gives one back sees all who wait.
async fn create_function(pool: &PgPool) -> sqlx::Result<()> {
    // Several servers may start together; the lock lasts until the function is there.
    sqlx::raw_sql(
        "SELECT pg_advisory_xact_lock(7101);
         CREATE OR REPLACE FUNCTION reserve_piece(the_sale uuid, the_buyer uuid, new_id uuid)
         RETURNS uuid LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO reservations (id, sale_id, buyer_id, status)
             SELECT new_id, sales.id, the_buyer, 'waiting' FROM sales WHERE sales.id = the_sale AND opens_at <= now()
             ON CONFLICT (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid') DO NOTHING;
             IF NOT FOUND THEN
                 RETURN NULL;
             END IF;
             PERFORM 1 FROM sale_permits WHERE sale_id = the_sale FOR UPDATE;
             UPDATE sale_permits SET held = held + 1
             WHERE sale_id = the_sale AND held + paid < stock AND NOT EXISTS (
                 SELECT FROM reservations WHERE sale_id = the_sale AND status = 'waiting' AND reservations.id <> new_id
             );
             IF FOUND THEN
                 UPDATE reservations SET status = 'held', expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
                 FROM sales WHERE reservations.id = new_id AND sales.id = the_sale;
                 INSERT INTO sale_jobs (reservation_id, kind) VALUES (new_id, 'confirmation');
             END IF;
             RETURN new_id;
         END
         $$",
    )
    .execute(pool)
    .await?;
    Ok(())
}
