use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    if let Some(reservation) = sales::active(&mut *db, sale, buyer).await? {
        return Ok(reservation);
    }

    // The reservations themselves say what is left; an index has them together. So nobody has to wait for a counter.
    let is_left: bool = sqlx::query_scalar(
        "SELECT stock > (SELECT count(*) FROM reservations WHERE sale_id = $1 AND status IN ('held', 'paid'))
         FROM sales WHERE id = $1",
    )
    .bind(sale)
    .fetch_one(&mut *db)
    .await?;
    let held = is_left && !sales::has_waiting(&mut *db, sale).await?;
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

    // The counter is for the sale's page, and follows.
    if held {
        sqlx::query(
            "UPDATE sale_permits SET held = least(stock - paid, (
                 SELECT count(*) FROM reservations WHERE sale_id = $1 AND status = 'held'
             )) WHERE sale_id = $1",
        )
        .bind(sale)
        .execute(desk.pool)
        .await?;
    }
    Ok(reservation)
}
