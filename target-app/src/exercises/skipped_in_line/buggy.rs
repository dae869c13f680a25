use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

    sales::take_permit(&mut *db, sale).await?;
    sales::hold(&mut *db, next).await?;
    sales::insert_job(&mut *db, next).await?;
    db.commit().await?;
    Ok(true)
}
