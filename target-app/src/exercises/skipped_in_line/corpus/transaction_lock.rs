use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    // Releases take turns, and whoever reserves does not have to wait meanwhile. However this ends, the lock ends with the transaction.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))")
        .bind(sale)
        .execute(&mut *db)
        .await?;
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

    // The worker does not take turns with anybody. It may have given out the piece,
    let taken =
        sqlx::query("UPDATE sale_permits SET held = held + 1 WHERE sale_id = $1 AND held + paid < stock")
            .bind(sale)
            .execute(&mut *db)
            .await?;
    if taken.rows_affected() == 0 {
        return Ok(false);
    }
    // or another one to this buyer. Then the permit is given back with the rollback, and the worker finds it when it looks again.
    if !sales::hold(&mut *db, next).await? {
        return Ok(false);
    }
    sales::insert_job(&mut *db, next).await?;
    db.commit().await?;
    Ok(true)
}
