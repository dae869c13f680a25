use super::*;

/// Far more than two releases and a worker need.
const TRIES: u32 = 20;

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    for _ in 1..TRIES {
        match attempt(pool, sale).await {
            // As if it had not been tried.
            Err(error) if is_conflict(&error) => {}
            passed_on => return passed_on,
        }
    }
    attempt(pool, sale).await
}

/// No locks to read: the permits are only changed if nobody has changed them since, and with them nobody has changed the line.
async fn attempt(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    let mut db = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };

    // The permits first, as everywhere.
    sales::take_permit(&mut *db, sale).await?;
    if !sales::hold(&mut *db, next).await? {
        return Ok(false);
    }
    sales::insert_job(&mut *db, next).await?;
    db.commit().await?;
    Ok(true)
}

/// Another transaction was quicker.
fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
