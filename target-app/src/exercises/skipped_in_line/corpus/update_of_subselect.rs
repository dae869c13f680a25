use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    // Nothing can come between reading who is first and giving this buyer the piece: it is one statement.
    let held: Option<Uuid> = sqlx::query_scalar(
        "UPDATE reservations SET status = 'held', version = version + 1,
             expires_at = clock_timestamp() + hold_ms * interval '1 millisecond'
         FROM sales
         WHERE sales.id = $1 AND reservations.id = (
             SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting' ORDER BY ticket LIMIT 1
         )
         RETURNING reservations.id",
    )
    .bind(sale)
    .fetch_optional(&mut *db)
    .await?;
    let Some(held) = held else { return Ok(false) };

    sales::take_permit(&mut *db, sale).await?;
    sales::insert_job(&mut *db, held).await?;
    db.commit().await?;
    Ok(true)
}
