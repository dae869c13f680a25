use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    let locked = sqlx::query("SELECT FROM sale_permits WHERE sale_id = $1 FOR UPDATE NOWAIT")
        .bind(sale)
        .execute(&mut *db)
        .await;
    // A line of buyers inside the database takes all connections. A client that is told so at once comes back a moment later.
    match locked {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
            return Err(CallError::Busy { service: "sale" }.into());
        }
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let sale = sales::open(&mut db, sale).await?;
    if let Some(reservation) = sales::active(&mut *db, sale.id, buyer).await? {
        return Ok(reservation);
    }

    let held = sale.available > 0 && !sales::has_waiting(&mut *db, sale.id).await?;
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
