use super::*;

/// Whoever loses the race so often leaves the piece to the worker.
const TRIES: u32 = 5;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    for attempt in 0..TRIES {
        let mut db = pool.begin().await?;
        if free(&mut db, sale).await? == 0 {
            return Ok(false);
        }
        // Everybody wants the first in line. Whoever loses the race for it starts at the other end, where nobody is in the way.
        let end = if attempt == 0 { End::First } else { End::Last };
        let Some(next) = in_line(&mut db, sale, end).await? else { return Ok(false) };

        sales::take_permit(&mut *db, sale).await?;
        // Unless somebody else has given a piece to this buyer meanwhile: then the permit is rolled back.
        if sales::hold(&mut *db, next).await? {
            sales::insert_job(&mut *db, next).await?;
            db.commit().await?;
            return Ok(true);
        }
    }
    Ok(false)
}
