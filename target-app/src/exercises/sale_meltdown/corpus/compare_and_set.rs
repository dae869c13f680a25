use super::*;

/// Whoever loses the race so often may come back later.
const TRIES: u32 = 5;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    for _ in 0..TRIES {
        if let Some(reservation) = attempt(desk, sale, buyer).await? {
            return Ok(reservation);
        }
    }
    Err(CallError::Busy { service: "sale" }.into())
}

/// Optimistic: nothing is locked to read. None when somebody else was quicker.
async fn attempt(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Option<Reservation>, SaleError> {
    let mut db = desk.pool.begin().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    if let Some(reservation) = sales::active(&mut *db, sale, buyer).await? {
        return Ok(Some(reservation));
    }
    let (held, left): (i64, i64) =
        sqlx::query_as("SELECT held, stock - held - paid FROM sale_permits WHERE sale_id = $1")
            .bind(sale)
            .fetch_one(&mut *db)
            .await?;
    let is_left = left > 0 && !sales::has_waiting(&mut *db, sale).await?;
    if is_left {
        // The count is its own version: it changes with every reservation.
        let set = sqlx::query("UPDATE sale_permits SET held = $2 + 1 WHERE sale_id = $1 AND held = $2")
            .bind(sale)
            .bind(held)
            .execute(&mut *db)
            .await?;
        if set.rows_affected() == 0 {
            return Ok(None);
        }
    }
    let reservation = match sales::insert_reservation(&mut *db, sale, buyer, is_left).await {
        Ok(reservation) => reservation,
        // A second click: the next attempt finds what the first one has.
        Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if is_left {
        sales::insert_job(&mut *db, reservation.id).await?;
    }
    db.commit().await?;
    Ok(Some(reservation))
}
