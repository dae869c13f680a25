use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    sales::lock(&mut db, sale).await?;
    let has_waiting = sales::has_waiting(&mut *db, sale).await?;
    let sale = sales::open(&mut db, sale).await?;
    if let Some(reservation) = sales::current(&mut db, sale.id, buyer).await? {
        return Ok(reservation);
    }

    let held = sale.available > 0 && !has_waiting;
    if held {
        sales::take_permit(&mut *db, sale.id).await?;
    }
    let reservation = sales::insert_reservation(&mut *db, sale.id, buyer, held).await?;
    if held {
        desk.confirm(&reservation).await?;
    }
    db.commit().await?;
    Ok(reservation)
}
