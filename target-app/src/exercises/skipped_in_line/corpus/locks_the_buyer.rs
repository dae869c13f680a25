use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin().await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    // A second release waits here, and then gets the next one in line.
    let next: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting' ORDER BY ticket LIMIT 1 FOR UPDATE",
    )
    .bind(sale)
    .fetch_optional(&mut *db)
    .await?;
    let Some(next) = next else { return Ok(false) };

    sales::hold(&mut *db, next).await?;
    sales::insert_job(&mut *db, next).await?;
    // The row that everybody wants comes last, so it is locked for as short as it can be. Its constraint refuses a piece that is not there.
    sales::take_permit(&mut *db, sale).await?;
    db.commit().await?;
    Ok(true)
}
