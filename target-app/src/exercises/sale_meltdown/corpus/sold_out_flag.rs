use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::*;

/// Sales of which nothing is left.
static SOLD_OUT: LazyLock<Mutex<HashSet<Uuid>>> = LazyLock::new(Mutex::default);

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    // Most of a rush comes too late. Those leave the permits alone: what is given back goes to the waiting list, not to them.
    if SOLD_OUT.lock().unwrap_or_else(PoisonError::into_inner).contains(&sale) {
        return wait(desk.pool, sale, buyer).await;
    }
    let reservation = fixed::reserve(desk, sale, buyer).await?;
    if reservation.status == "waiting" {
        SOLD_OUT.lock().unwrap_or_else(PoisonError::into_inner).insert(sale);
    }
    Ok(reservation)
}

async fn wait(pool: &PgPool, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    if let Some(reservation) = sales::active(pool, sale, buyer).await? {
        return Ok(reservation);
    }
    match sales::insert_reservation(pool, sale, buyer, false).await {
        Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
            Ok(sales::active(pool, sale, buyer).await?.ok_or(error)?)
        }
        waiting => Ok(waiting?),
    }
}
