use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    // One statement: all of it or nothing, and the permits are locked for no round trip. They come first, as everywhere.
    let jobs = sqlx::query(
        "WITH permit AS (
             UPDATE sale_permits SET held = held + 1
             WHERE sale_id = $1 AND held + paid < stock
                 AND EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')
             RETURNING sale_id
         ), next AS MATERIALIZED (
             SELECT id FROM reservations JOIN permit USING (sale_id) WHERE status = 'waiting' ORDER BY ticket LIMIT 1
         ), promoted AS (
             UPDATE reservations SET status = 'held', version = version + 1,
                 expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
             FROM next, sales WHERE reservations.id = next.id AND sales.id = $1 AND status = 'waiting'
             RETURNING reservations.id
         )
         INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM promoted",
    )
    .bind(sale)
    .execute(pool)
    .await?;
    Ok(jobs.rows_affected() == 1)
}
