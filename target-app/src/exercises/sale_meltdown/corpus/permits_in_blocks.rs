use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError};

use tokio::sync::Mutex;

use super::*;

/// Permits that are taken at a time: the row that everybody wants is wanted once in so many reservations.
const BLOCK: i64 = 20;

/// What this server has of each sale.
static BLOCKS: LazyLock<std::sync::Mutex<HashMap<Uuid, i64>>> = LazyLock::new(Default::default);

/// One at a time gets more.
static REFILL: Mutex<()> = Mutex::const_new(());

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    if let Some(reservation) = sales::active(&mut *db, sale, buyer).await? {
        return Ok(reservation);
    }
    let has_waiting = sales::has_waiting(&mut *db, sale).await?;
    drop(db);

    let held = !has_waiting && take(desk.pool, sale).await?;
    match write(desk.pool, sale, buyer, held).await {
        Ok(reservation) => Ok(reservation),
        Err(error) => {
            if held {
                change(sale, 1);
            }
            Ok(sales::active(desk.pool, sale, buyer).await?.ok_or(error)?)
        }
    }
}

/// Takes a permit from the block, or the first one of another block. Says whether there was one.
async fn take(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
    if take_here(sale) {
        return Ok(true);
    }
    let _refill = REFILL.lock().await;
    // Whoever was first may have brought enough.
    if take_here(sale) {
        return Ok(true);
    }
    let block: i64 = sqlx::query_scalar(
        "WITH before AS (
             SELECT sale_id, least($2, stock - held - paid) AS block FROM sale_permits WHERE sale_id = $1 FOR UPDATE
         ), taken AS (
             UPDATE sale_permits SET held = sale_permits.held + before.block
             FROM before WHERE sale_permits.sale_id = before.sale_id
         )
         SELECT block FROM before",
    )
    .bind(sale)
    .bind(BLOCK)
    .fetch_one(pool)
    .await?;
    change(sale, block);
    Ok(take_here(sale))
}

fn take_here(sale: Uuid) -> bool {
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let left = blocks.entry(sale).or_default();
    let is_left = *left > 0;
    *left -= i64::from(is_left);
    is_left
}

fn change(sale: Uuid, permits: i64) {
    *BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).entry(sale).or_default() += permits;
}

async fn write(pool: &PgPool, sale: Uuid, buyer: Uuid, held: bool) -> sqlx::Result<Reservation> {
    let mut db = pool.begin().await?;
    let reservation = sales::insert_reservation(&mut *db, sale, buyer, held).await?;
    if held {
        sales::insert_job(&mut *db, reservation.id).await?;
    }
    db.commit().await?;
    Ok(reservation)
}
