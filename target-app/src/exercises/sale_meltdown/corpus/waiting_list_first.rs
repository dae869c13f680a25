use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let open = sales::open(&mut db, sale).await?;
    // A hold that is over gives its piece to whoever has waited longest, before its buyer asks for another one.
    match sales::active(&mut *db, sale, buyer).await? {
        Some(reservation) if reservation.status == "expired" => {
            sales::expire(&mut *db, reservation.id).await?;
            sales::promote(&mut *db, sale, 500).await?;
        }
        Some(reservation) => return Ok(reservation),
        None => {}
    }
    if open.available > 0 && !sales::has_waiting(&mut *db, sale).await? {
        drop(db);
        // There may be a piece: one statement decides.
        return fixed::reserve(desk, sale, buyer).await;
    }

    // Most buyers come too late. They do not touch the row that the others wait for.
    let joined: Option<Uuid> = sqlx::query_scalar(
        "INSERT INTO reservations (id, sale_id, buyer_id, status) VALUES ($1, $2, $3, 'waiting')
         ON CONFLICT (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid') DO NOTHING
         RETURNING id",
    )
    .bind(Uuid::now_v7())
    .bind(sale)
    .bind(buyer)
    .fetch_optional(&mut *db)
    .await?;
    let Some(id) = joined else {
        drop(db);
        // A second click, or one that was quicker: it gets what there is.
        return fixed::reserve(desk, sale, buyer).await;
    };
    // What was read above may be over: a piece that was given back since then found nobody on the list.
    sales::promote(&mut *db, sale, 500).await?;
    Ok(sales::find_reservation(&mut *db, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?)
}
