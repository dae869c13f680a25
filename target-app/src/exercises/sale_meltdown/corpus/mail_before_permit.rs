use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.begin().await?;
    let sale = sales::open(&mut db, sale).await?;
    if let Some(reservation) = sales::active(&mut *db, sale.id, buyer).await? {
        return Ok(reservation);
    }
    if sale.available == 0 || sales::has_waiting(&mut *db, sale.id).await? {
        db.rollback().await?;
        return wait(desk.pool, sale.id, buyer).await;
    }

    let reservation = match sales::insert_reservation(&mut *db, sale.id, buyer, true).await {
        Ok(reservation) => reservation,
        Err(error) if sales::is_second_click(&error) => {
            db.rollback().await?;
            return Ok(sales::active(desk.pool, sale.id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
        }
        Err(error) => return Err(error.into()),
    };
    // Nobody waits meanwhile: the row that everybody wants comes last, and there is no commit without the mail.
    desk.confirm(&reservation).await?;
    let taken =
        sqlx::query("UPDATE sale_permits SET held = held + 1 WHERE sale_id = $1 AND held + paid < stock")
            .bind(sale.id)
            .execute(&mut *db)
            .await?;
    if taken.rows_affected() == 0 {
        db.rollback().await?;
        return wait(desk.pool, sale.id, buyer).await;
    }
    db.commit().await?;
    Ok(reservation)
}

async fn wait(pool: &PgPool, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    match sales::insert_reservation(pool, sale, buyer, false).await {
        Err(error) if sales::is_second_click(&error) => {
            Ok(sales::active(pool, sale, buyer).await?.ok_or(error)?)
        }
        waiting => Ok(waiting?),
    }
}
