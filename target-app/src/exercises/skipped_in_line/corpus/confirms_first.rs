use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    sales::lock(&mut db, sale).await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

    // The mail takes longest, so its job is what can be seen first. Should the rest fail, the worker finds that nothing is held, and sends none.
    sales::insert_job(pool, next).await?;
    if !sales::hold(&mut *db, next).await? {
        return Ok(false);
    }
    sales::take_permit(&mut *db, sale).await?;
    db.commit().await?;
    Ok(true)
}
