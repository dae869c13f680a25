use sqlx::PgConnection;

use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    loop {
        let mut db = desk.pool.begin().await?;
        sales::open(&mut db, sale).await?;
        match sales::active(&mut *db, sale, buyer).await? {
            Some(reservation) if reservation.status == "expired" => {
                db.rollback().await?;
                // Its piece goes to whoever has waited longest.
                sales::expire(desk.pool, reservation.id).await?;
                sales::promote(desk.pool, sale, 500).await?;
                continue;
            }
            Some(reservation) => return Ok(reservation),
            None => {}
        }
        if !sales::has_waiting(&mut *db, sale).await? {
            match hold(&mut db, sale, buyer).await {
                Ok(reservation) => {
                    db.commit().await?;
                    return Ok(reservation);
                }
                // There is no piece left for it.
                Err(error) if is(&error, "23514") => {}
                // A second click, which has waited for the first one.
                Err(error) if is(&error, "23505") => continue,
                Err(error) => return Err(error.into()),
            }
        }
        db.rollback().await?;

        match sales::insert_reservation(desk.pool, sale, buyer, false).await {
            Ok(waiting) => {
                // A piece may have been given back before anybody could see who waits for it.
                sales::promote(desk.pool, sale, 500).await?;
                let found = sales::find_reservation(desk.pool, waiting.id, buyer).await?;
                return Ok(found.unwrap_or(waiting));
            }
            Err(error) if is(&error, "23505") => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes it for granted that there is a piece, and has the table's own constraint say when there is none: nothing is read before, and the
/// row that everybody wants is changed last.
async fn hold(db: &mut PgConnection, sale: Uuid, buyer: Uuid) -> sqlx::Result<Reservation> {
    let reservation = sales::insert_reservation(&mut *db, sale, buyer, true).await?;
    sales::insert_job(&mut *db, reservation.id).await?;
    sales::take_permit(&mut *db, sale).await?;
    Ok(reservation)
}

/// Whether the database refused with this code.
fn is(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|found| found == code)
}
