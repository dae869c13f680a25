use super::*;

/// Whoever loses the race so often leaves the piece to the worker.
const TRIES: u32 = 5;

/// Before the second attempt. It doubles, so that those who have met do not go on meeting.
const PAUSE: Duration = Duration::from_millis(100);

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    for attempt in 0..TRIES {
        let mut db = pool.begin().await?;
        if free(&mut db, sale).await? == 0 {
            return Ok(false);
        }
        let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

        let taken =
            sqlx::query("UPDATE sale_permits SET held = held + 1 WHERE sale_id = $1 AND held + paid < stock")
                .bind(sale)
                .execute(&mut *db)
                .await?;
        if taken.rows_affected() == 1 && sales::hold(&mut *db, next).await? {
            sales::insert_job(&mut *db, next).await?;
            db.commit().await?;
            return Ok(true);
        }
        // Somebody else was quicker. The pause is made without a connection.
        db.rollback().await?;
        tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
    }
    Ok(false)
}
