use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    // A mutex that all servers see. It is released after the commit, so whoever comes next reads what was committed.
    sqlx::query("SELECT pg_advisory_lock(hashtextextended($1::text, 0))").bind(sale).execute(pool).await?;
    let passed_on = alone(pool, sale).await;
    // Whatever came out of it.
    sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1::text, 0))").bind(sale).execute(pool).await?;
    passed_on
}

async fn alone(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

    sales::take_permit(&mut *db, sale).await?;
    // Unless the worker was quicker, which finds the piece again.
    if !sales::hold(&mut *db, next).await? {
        return Ok(false);
    }
    sales::insert_job(&mut *db, next).await?;
    db.commit().await?;
    Ok(true)
}
