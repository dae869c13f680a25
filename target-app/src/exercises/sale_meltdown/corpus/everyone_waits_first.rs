use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    if let Some(reservation) = sales::active(&mut *db, sale, buyer).await? {
        return Ok(reservation);
    }
    // An insert waits for nobody. All that a buyer has to know at once is that he is in the line.
    let reservation = match sales::insert_reservation(&mut *db, sale, buyer, false).await {
        Ok(reservation) => reservation,
        Err(error) if sales::is_second_click(&error) => {
            return Ok(sales::active(&mut *db, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
        }
        Err(error) => return Err(error.into()),
    };
    drop(db);

    // Pieces are given out in the sequence of arrival, and the mail says who has one.
    let pool = desk.pool.clone();
    tokio::spawn(async move {
        if let Err(error) = sales::promote(&pool, sale, 500).await {
            tracing::warn!(%error, %sale, "nobody could be given a piece");
        }
    });
    Ok(reservation)
}
