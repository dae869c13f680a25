use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    if let Some(reservation) = sales::active(&mut *db, sale, buyer).await? {
        return Ok(reservation);
    }

    // Nobody stands in a line for the row: who does not get it goes onto the waiting list.
    let left: Option<i64> = sqlx::query_scalar(
        "SELECT stock - held - paid FROM sale_permits WHERE sale_id = $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(sale)
    .fetch_optional(&mut *db)
    .await?;
    let held = left.is_some_and(|left| left > 0) && !sales::has_waiting(&mut *db, sale).await?;
    if held {
        sales::take_permit(&mut *db, sale).await?;
    }
    let reservation = match sales::insert_reservation(&mut *db, sale, buyer, held).await {
        Ok(reservation) => reservation,
        Err(error) if sales::is_second_click(&error) => {
            db.rollback().await?;
            return Ok(sales::active(desk.pool, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
        }
        Err(error) => return Err(error.into()),
    };
    if held {
        sales::insert_job(&mut *db, reservation.id).await?;
    }
    db.commit().await?;
    Ok(reservation)
}
