use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    // One buyer at a time, on whichever server; the mail can be sent later.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))")
        .bind(sale)
        .execute(&mut *db)
        .await?;
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
        sales::insert_job(&mut *db, reservation.id).await?;
    }
    db.commit().await?;
    Ok(reservation)
}
