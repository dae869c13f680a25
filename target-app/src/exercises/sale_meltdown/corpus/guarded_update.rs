use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    if let Some(reservation) = sales::active(&mut *db, sale, buyer).await? {
        return Ok(reservation);
    }

    // Compared and taken in one statement: nothing has to be locked before, and nothing can be oversold.
    let taken = sqlx::query(
        "UPDATE sale_permits SET held = held + 1
         WHERE sale_id = $1 AND held + paid < stock
             AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')",
    )
    .bind(sale)
    .execute(&mut *db)
    .await?;
    let held = taken.rows_affected() == 1;
    let reservation = match sales::insert_reservation(&mut *db, sale, buyer, held).await {
        Ok(reservation) => reservation,
        Err(error) if sales::is_second_click(&error) => {
            // With the permit.
            db.rollback().await?;
            return Ok(sales::active(desk.pool, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
        }
        Err(error) => return Err(error.into()),
    };
    // The mail is sent when the reservation is committed, by whichever server is there.
    if held {
        sales::insert_job(&mut *db, reservation.id).await?;
    }
    db.commit().await?;
    Ok(reservation)
}
