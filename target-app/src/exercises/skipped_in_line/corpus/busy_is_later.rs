use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    // Nobody who cancels waits for somebody else. A piece that is left over now is given out by the worker, a moment later.
    let free: Option<i64> = sqlx::query_scalar(
        "SELECT stock - held - paid FROM sale_permits WHERE sale_id = $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(sale)
    .fetch_optional(&mut *db)
    .await?;
    if free.is_none_or(|free| free == 0) {
        return Ok(false);
    }
    let promoted = sales::promote(&mut *db, sale, 500).await?;
    db.commit().await?;
    Ok(promoted > 0)
}
