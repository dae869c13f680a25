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
    db.commit().await?;

    // By itself: whoever has locked a reservation must not wait for the permits, which everybody else locks first.
    sales::take_permit(pool, sale).await?;
    Ok(true)
}
