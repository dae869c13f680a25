use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError};

use tokio::sync::Mutex;

use super::*;

/// A turn for each sale.
static TURNS: LazyLock<std::sync::Mutex<HashMap<Uuid, Arc<Mutex<()>>>>> = LazyLock::new(Default::default);

fn turn_of(sale: Uuid) -> Arc<Mutex<()>> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner).entry(sale).or_default().clone()
}

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    // Whoever waits here waits without a connection, and nobody waits inside the database.
    let turn = turn_of(sale);
    let _turn = turn.lock().await;

    let mut db = desk.pool.begin().await?;
    let sale = sales::open(&mut db, sale).await?;
    if let Some(reservation) = sales::active(&mut *db, sale.id, buyer).await? {
        return Ok(reservation);
    }
    let held = sale.available > 0 && !sales::has_waiting(&mut *db, sale.id).await?;
    let reservation = sales::insert_reservation(&mut *db, sale.id, buyer, held).await?;
    if held {
        sales::insert_job(&mut *db, reservation.id).await?;
        sales::take_permit(&mut *db, sale.id).await?;
    }
    db.commit().await?;
    Ok(reservation)
}
