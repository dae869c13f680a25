use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError};

use tokio::sync::Mutex;

use super::*;

/// A turn for each sale.
static TURNS: LazyLock<std::sync::Mutex<HashMap<Uuid, Arc<Mutex<()>>>>> = LazyLock::new(Default::default);

fn turn_of(sale: Uuid) -> Arc<Mutex<()>> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner).entry(sale).or_default().clone()
}

pub async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    // Releases take turns, so each reads what the one before has left. Whoever waits here waits without a connection.
    let turn = turn_of(sale);
    let _turn = turn.lock().await;

    let mut db = pool.begin().await?;
    if free(&mut db, sale).await? == 0 {
        return Ok(false);
    }
    let Some(next) = in_line(&mut db, sale, End::First).await? else { return Ok(false) };
    sales::take_permit(&mut *db, sale).await?;
    sales::hold(&mut *db, next).await?;
    sales::insert_job(&mut *db, next).await?;
    db.commit().await?;
    Ok(true)
}
