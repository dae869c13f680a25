use sqlx::{Connection, PgConnection};

use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    // A mutex that all servers see. It is released after the commit, so whoever comes next reads what was committed.
    let mut db = desk.pool.acquire().await?;
    sqlx::query("SELECT pg_advisory_lock(hashtextextended($1::text, 0))")
        .bind(sale)
        .execute(&mut *db)
        .await?;
    let reserved = alone(&mut db, sale, buyer).await;
    // Whatever came out of it: a connection that goes back to the pool with the lock would keep it.
    sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1::text, 0))")
        .bind(sale)
        .execute(&mut *db)
        .await?;
    reserved
}

async fn alone(connection: &mut PgConnection, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = connection.begin().await?;
    let sale = sales::open(&mut db, sale).await?;
    if let Some(reservation) = sales::active(&mut *db, sale.id, buyer).await? {
        db.rollback().await?;
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
