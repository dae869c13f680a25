use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.acquire().await?;
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

    // Each step is one statement that has its condition with it, so nothing has to be locked between them.
    let taken =
        sqlx::query("UPDATE sale_permits SET held = held + 1 WHERE sale_id = $1 AND held + paid < stock")
            .bind(sale)
            .execute(&mut *db)
            .await?;
    if taken.rows_affected() == 0 {
        return Ok(false);
    }
    // Somebody else has given a piece to this buyer meanwhile.
    if !sales::hold(&mut *db, next).await? {
        return Ok(false);
    }
    sales::insert_job(&mut *db, next).await?;
    Ok(true)
}
