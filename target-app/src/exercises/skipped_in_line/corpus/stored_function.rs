use tokio::sync::OnceCell;

use super::*;

/// The function is there.
static READY: OnceCell<()> = OnceCell::const_new();

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    READY.get_or_try_init(|| create_function(pool)).await?;
    sqlx::query_scalar("SELECT pass_on_piece($1)").bind(sale).fetch_one(pool).await
}

/// Several statements, each of which sees what was committed before it, and one round trip for all of them.
async fn create_function(pool: &PgPool) -> sqlx::Result<()> {
    // Several servers may start together; the lock lasts until the function is there.
    sqlx::raw_sql(
        "SELECT pg_advisory_xact_lock(7102);
         CREATE OR REPLACE FUNCTION pass_on_piece(the_sale uuid)
         RETURNS boolean LANGUAGE plpgsql AS $$
         DECLARE
             the_first uuid;
         BEGIN
             PERFORM 1 FROM sale_permits WHERE sale_id = the_sale FOR UPDATE;
             UPDATE reservations SET status = 'held', version = version + 1,
                 expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
             FROM sales
             WHERE sales.id = the_sale AND reservations.status = 'waiting' AND reservations.id = (
                     SELECT r.id FROM reservations AS r
                     WHERE r.sale_id = the_sale AND r.status = 'waiting' ORDER BY r.ticket LIMIT 1
                 ) AND EXISTS (SELECT FROM sale_permits WHERE sale_id = the_sale AND held + paid < sale_permits.stock)
             RETURNING reservations.id INTO the_first;
             IF the_first IS NULL THEN
                 RETURN false;
             END IF;
             UPDATE sale_permits SET held = held + 1 WHERE sale_id = the_sale;
             INSERT INTO sale_jobs (reservation_id, kind) VALUES (the_first, 'confirmation');
             RETURN true;
         END
         $$",
    )
    .execute(pool)
    .await?;
    Ok(())
}
