use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    // The update locks the permits until the commit, so the line below is read after whoever was here before has changed it.
    let taken =
        sqlx::query("UPDATE sale_permits SET held = held + 1 WHERE sale_id = $1 AND held + paid < stock")
            .bind(sale)
            .execute(&mut *db)
            .await?;
    if taken.rows_affected() == 0 {
        return Ok(false);
    }
    let next: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting'
         ORDER BY ticket LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .bind(sale)
    .fetch_optional(&mut *db)
    .await?;
    // Nobody waits: the permit is given back with the rollback.
    let Some(next) = next else { return Ok(false) };

    sales::hold(&mut *db, next).await?;
    sales::insert_job(&mut *db, next).await?;
    db.commit().await?;
    Ok(true)
}
