use std::sync::{Mutex, Once, PoisonError};

use super::*;

/// Whose confirmations are not written down yet.
static OUTBOX: Mutex<Vec<Uuid>> = Mutex::new(Vec::new());

/// The task that writes them down.
static WRITER: Once = Once::new();

/// So often.
const EVERY: Duration = Duration::from_secs(1);

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    WRITER.call_once(|| {
        tokio::spawn(write(pool.clone()));
    });
    let mut db = pool.begin().await?;
    sales::lock(&mut db, sale).await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };
    if !sales::hold(&mut *db, next).await? {
        return Ok(false);
    }
    sales::take_permit(&mut *db, sale).await?;
    db.commit().await?;

    // The permits are free again for the next release. A mail may be a second late.
    outbox(|ids| ids.push(next));
    Ok(true)
}

/// Writes down what has come together, in one statement. What could not be written goes along with the next ones.
async fn write(pool: PgPool) {
    loop {
        tokio::time::sleep(EVERY).await;
        let ids = outbox(std::mem::take);
        if ids.is_empty() {
            continue;
        }
        let written = sqlx::query(
            "INSERT INTO sale_jobs (reservation_id, kind) SELECT id, 'confirmation' FROM UNNEST($1::uuid[]) AS id
             ON CONFLICT DO NOTHING",
        )
        .bind(&ids)
        .execute(&pool)
        .await;
        if let Err(error) = written {
            tracing::warn!(%error, "confirmations could not be written down");
            outbox(|waiting| waiting.extend(ids));
        }
    }
}

fn outbox<T>(change: impl FnOnce(&mut Vec<Uuid>) -> T) -> T {
    change(&mut OUTBOX.lock().unwrap_or_else(PoisonError::into_inner))
}
