use super::*;

pub async fn reserve(
    counters: &Counters,
    desk: &Desk<'_>,
    sale: Uuid,
    buyer: Uuid,
) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?;
    if let Some(reservation) = sales::current(&mut db, sale.id, buyer).await? {
        return Ok(reservation);
    }

    // Nobody waits for a row here: permits are counted in memory, and the database learns of it afterwards.
    let held = !sales::has_waiting(&mut *db, sale.id).await? && counters.take(&sale);
    let inserted = sales::insert_reservation(&mut *db, sale.id, buyer, held).await;
    if held && inserted.is_err() {
        counters.give_back(&sale);
    }
    let reservation = match inserted {
        Err(error) if sales::is_second_click(&error) => {
            return Ok(sales::active(&mut *db, sale.id, buyer).await?.ok_or(error)?);
        }
        inserted => inserted?,
    };
    if held {
        let (pool, reservation) = (desk.pool.clone(), reservation.id);
        tokio::spawn(async move {
            sales::take_permit(&pool, sale.id).await?;
            sales::insert_job(&pool, reservation).await
        });
    }
    Ok(reservation)
}
