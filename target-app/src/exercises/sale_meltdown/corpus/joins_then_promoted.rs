use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let id = loop {
        let mut db = desk.pool.acquire().await?;
        sales::open(&mut db, sale).await?;
        // Everybody joins the line, also when there is none.
        sqlx::query(
            "INSERT INTO reservations (id, sale_id, buyer_id, status) VALUES ($1, $2, $3, 'waiting')
             ON CONFLICT (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid') DO NOTHING",
        )
        .bind(Uuid::now_v7())
        .bind(sale)
        .bind(buyer)
        .execute(&mut *db)
        .await?;
        match sales::active(&mut *db, sale, buyer).await? {
            Some(reservation) if reservation.status == "waiting" => break reservation.id,
            Some(reservation) if reservation.status == "expired" => {
                sales::expire(&mut *db, reservation.id).await?;
            }
            Some(reservation) => return Ok(reservation),
            None => {}
        }
    };

    loop {
        // What is left is given to the head of the line, in one statement. Those who were left there by a server that was killed are served
        // as well.
        sales::promote(desk.pool, sale, 500).await?;
        // Another request may be about to do it for this one. Until then both can be seen: the buyer waiting, and a piece.
        let is_undecided: bool = sqlx::query_scalar(
            "SELECT EXISTS (
                 SELECT FROM reservations JOIN sale_permits USING (sale_id)
                 WHERE reservations.id = $1 AND status = 'waiting' AND held + paid < stock
             )",
        )
        .bind(id)
        .fetch_one(desk.pool)
        .await?;
        if !is_undecided {
            break;
        }
    }
    Ok(sales::find_reservation(desk.pool, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?)
}
