use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?;
    if let Some(reservation) = sales::active(&mut *db, sale.id, buyer).await? {
        return Ok(reservation);
    }
    let ahead: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting' LIMIT 1000) AS ahead",
    )
    .bind(sale.id)
    .fetch_one(&mut *db)
    .await?;
    drop(db);
    if ahead == 0 {
        return fixed::reserve(desk, sale.id, buyer).await;
    }

    // There is nothing left to decide, so the buyer need not wait until it is written down.
    let waiting = Reservation {
        id: Uuid::now_v7(),
        sale_id: sale.id,
        status: "waiting".into(),
        version: 1,
        expires_at: None,
        position: Some(ahead + 1),
    };
    let (pool, id) = (desk.pool.clone(), waiting.id);
    tokio::spawn(async move {
        let written = sqlx::query(
            "INSERT INTO reservations (id, sale_id, buyer_id, status) VALUES ($1, $2, $3, 'waiting')
             ON CONFLICT (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid') DO NOTHING",
        )
        .bind(id)
        .bind(sale.id)
        .bind(buyer)
        .execute(&pool)
        .await;
        if let Err(error) = written {
            tracing::error!(%error, reservation = %id, "a place on the waiting list could not be written down");
        }
    });
    Ok(waiting)
}
