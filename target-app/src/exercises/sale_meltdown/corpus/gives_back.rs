use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    drop(db);
    if let Some(reservation) = sales::active(desk.pool, sale, buyer).await? {
        return Ok(reservation);
    }

    // No transaction, so the permits are locked for one statement only. What goes wrong afterwards gives the permit back.
    let taken = sqlx::query(
        "UPDATE sale_permits SET held = held + 1
         WHERE sale_id = $1 AND held + paid < stock
             AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')",
    )
    .bind(sale)
    .execute(desk.pool)
    .await?;
    let held = taken.rows_affected() == 1;
    match write(desk.pool, sale, buyer, held).await {
        Ok(reservation) => Ok(reservation),
        Err(error) => {
            if held {
                sqlx::query("UPDATE sale_permits SET held = held - 1 WHERE sale_id = $1")
                    .bind(sale)
                    .execute(desk.pool)
                    .await?;
            }
            // Most often it was the buyer's other click that was quicker.
            Ok(sales::active(desk.pool, sale, buyer).await?.ok_or(error)?)
        }
    }
}

async fn write(pool: &PgPool, sale: Uuid, buyer: Uuid, held: bool) -> sqlx::Result<Reservation> {
    let mut db = pool.begin().await?;
    let reservation = sales::insert_reservation(&mut *db, sale, buyer, held).await?;
    if held {
        sales::insert_job(&mut *db, reservation.id).await?;
    }
    db.commit().await?;
    Ok(reservation)
}
