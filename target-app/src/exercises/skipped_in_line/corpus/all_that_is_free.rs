use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    sales::lock(&mut db, sale).await?;
    // Also what a server that was killed has left.
    let free = free(&mut db, sale).await?;
    if free == 0 {
        return Ok(false);
    }
    let promoted: Option<Uuid> = sqlx::query_scalar(
        "WITH next AS MATERIALIZED (
             SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting' ORDER BY ticket LIMIT $2 FOR UPDATE
         ), promoted AS (
             UPDATE reservations SET status = 'held', version = version + 1,
                 expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
             FROM next, sales WHERE reservations.id = next.id AND sales.id = $1
             RETURNING reservations.id
         ), taken AS (
             UPDATE sale_permits SET held = held + (SELECT count(*) FROM promoted) WHERE sale_id = $1
         )
         SELECT id FROM promoted",
    )
    .bind(sale)
    .bind(free)
    .fetch_optional(&mut *db)
    .await?;
    let Some(promoted) = promoted else { return Ok(false) };

    sales::insert_job(&mut *db, promoted).await?;
    db.commit().await?;
    Ok(true)
}
