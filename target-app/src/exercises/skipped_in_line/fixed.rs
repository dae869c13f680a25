use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    // Before anything is read: releases take turns, and each sees what the one before has left, the pieces and the line.
    sales::lock(&mut db, sale).await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

    sales::take_permit(&mut *db, sale).await?;
    // Unless the buyer has just left the line: then the permit is rolled back, and the worker finds it.
    if !sales::hold(&mut *db, next).await? {
        return Ok(false);
    }
    sales::insert_job(&mut *db, next).await?;
    db.commit().await?;
    Ok(true)
}
