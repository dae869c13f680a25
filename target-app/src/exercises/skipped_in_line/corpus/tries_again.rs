use super::*;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    loop {
        let mut db = pool.begin().await?;
        let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

        let taken =
            sqlx::query("UPDATE sale_permits SET held = held + 1 WHERE sale_id = $1 AND held + paid < stock")
                .bind(sale)
                .execute(&mut *db)
                .await?;
        // Somebody else has given out the piece.
        if taken.rows_affected() == 0 {
            return Ok(false);
        }
        if sales::hold(&mut *db, next).await? {
            sales::insert_job(&mut *db, next).await?;
            db.commit().await?;
            return Ok(true);
        }
        // This buyer has a piece already, or has left: the line has moved, so it is read again. At the same end, and with the permit given back.
        db.rollback().await?;
    }
}
