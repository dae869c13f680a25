use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    sales::lock(&mut db, sale).await?;
    let sale = sales::open(&mut db, sale).await?;
    // What is only read need not be part of the transaction.
    if let Some(reservation) = sales::active(desk.pool, sale.id, buyer).await? {
        return Ok(reservation);
    }

    let held = sale.available > 0 && !sales::has_waiting(desk.pool, sale.id).await?;
    if held {
        sales::take_permit(&mut *db, sale.id).await?;
    }
    let reservation = sales::insert_reservation(&mut *db, sale.id, buyer, held).await?;
    // The mail is sent later, so the lock is not held for it.
    if held {
        sales::insert_job(&mut *db, reservation.id).await?;
    }
    db.commit().await?;
    Ok(reservation)
}
