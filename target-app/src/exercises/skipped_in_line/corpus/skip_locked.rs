use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    let free = free(&mut db, sale).await?;
    if free == 0 {
        return Ok(false);
    }
    // A queue as the manual has it: two releases never get the same buyer, and neither waits for the other.
    let held: Vec<Uuid> = sqlx::query_scalar(
        "WITH next AS MATERIALIZED (
             SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting'
             ORDER BY ticket LIMIT $2 FOR UPDATE SKIP LOCKED
         )
         UPDATE reservations SET status = 'held', version = version + 1,
             expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
         FROM next, sales WHERE reservations.id = next.id AND sales.id = $1
         RETURNING reservations.id",
    )
    .bind(sale)
    .bind(free)
    .fetch_all(&mut *db)
    .await?;
    for id in &held {
        sales::insert_job(&mut *db, *id).await?;
    }
    // When others have given out the same pieces, the constraint refuses this, and all of it is undone.
    sqlx::query("UPDATE sale_permits SET held = held + $2 WHERE sale_id = $1")
        .bind(sale)
        .bind(held.len() as i64)
        .execute(&mut *db)
        .await?;
    db.commit().await?;
    Ok(!held.is_empty())
}
