use super::*;

/// A conflict is rare, and many in a row are rarer.
const TRIES: u32 = 10;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    for _ in 1..TRIES {
        match attempt(desk, sale, buyer).await {
            // As if it had not been tried.
            Err(SaleError::Database(error) | SaleError::Reserve(ReserveError::Database(error)))
                if is_conflict(&error) => {}
            reserved => return reserved,
        }
    }
    attempt(desk, sale, buyer).await
}

/// No locks: the database sees to it that the result is one that buyers one after the other could have had.
async fn attempt(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
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

/// Another transaction was quicker, or the buyer's other click.
fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01" | "23505"))
}
