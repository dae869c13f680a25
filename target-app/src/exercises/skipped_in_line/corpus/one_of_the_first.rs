use super::*;

/// Whoever loses the race so often leaves the piece to the worker.
const TRIES: u32 = 5;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    for _ in 0..TRIES {
        // If everybody wants the first in line, all but one have tried in vain. The first ten have waited for equally long, give or take.
        let next: Option<Uuid> = sqlx::query_scalar(
            "SELECT id FROM (
                 SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting' ORDER BY ticket LIMIT 10
             ) AS head
             ORDER BY random() LIMIT 1",
        )
        .bind(sale)
        .fetch_optional(pool)
        .await?;
        let Some(next) = next else { return Ok(false) };

        let mut db = pool.begin().await?;
        sales::lock(&mut db, sale).await?;
        if free(&mut db, sale).await? == 0 {
            return Ok(false);
        }
        // Nobody else has given a piece to this buyer meanwhile.
        if sales::hold(&mut *db, next).await? {
            sales::take_permit(&mut *db, sale).await?;
            sales::insert_job(&mut *db, next).await?;
            db.commit().await?;
            return Ok(true);
        }
        db.rollback().await?;
    }
    Ok(false)
}
