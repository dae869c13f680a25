use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    loop {
        // One statement takes the permit, writes the reservation down and leaves the confirmation as a job. The row that everybody wants is
        // locked for as long as that takes inside the database, and for no mail.
        match sales::acquire(desk.pool, sale, buyer).await {
            Ok(Some(reservation)) => return Ok(reservation),
            Ok(None) => return Err(sales::not_open(desk.pool, sale).await?.into()),
            // The whole statement is undone, its permit included.
            Err(error) if sales::is_second_click(&error) => sql_tally::failed(&error),
            Err(error) => return Err(error.into()),
        }
        let mut db = desk.pool.acquire().await?;
        if let Some(reservation) = sales::current(&mut db, sale, buyer).await? {
            return Ok(reservation);
        }
    }
}
