use std::time::Duration;

use super::*;

/// Between two attempts to send a mail.
const PAUSE: Duration = Duration::from_millis(200);

/// Attempts to send it.
const TRIES: u32 = 20;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let mut db = desk.pool.acquire().await?;
    let sale = sales::open(&mut db, sale).await?.id;
    if let Some(reservation) = sales::active(&mut *db, sale, buyer).await? {
        return Ok(reservation);
    }
    let reserved = sqlx::query_scalar(
        "WITH permit AS (
             UPDATE sale_permits SET held = held + 1
             WHERE sale_id = $1 AND held + paid < stock
                 AND NOT EXISTS (SELECT FROM reservations WHERE sale_id = $1 AND status = 'waiting')
             RETURNING sale_id
         )
         INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
         SELECT $3, sales.id, $2, CASE WHEN permit.sale_id IS NULL THEN 'waiting' ELSE 'held' END,
             CASE WHEN permit.sale_id IS NOT NULL THEN clock_timestamp() + hold_ms * interval '1 millisecond' END
         FROM sales LEFT JOIN permit ON true WHERE sales.id = $1
         RETURNING id",
    )
    .bind(sale)
    .bind(buyer)
    .bind(Uuid::now_v7())
    .fetch_one(&mut *db)
    .await;
    let id: Uuid = match reserved {
        Ok(id) => id,
        // The first click has it.
        Err(error) if sales::is_second_click(&error) => {
            return Ok(sales::active(&mut *db, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
        }
        Err(error) => return Err(error.into()),
    };
    let reservation = sales::find_reservation(&mut *db, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?;
    drop(db);

    if reservation.status == "held" {
        // The buyer has his answer meanwhile. A mailer that is down for a moment is asked again.
        let providers = desk.providers.clone();
        tokio::spawn(async move {
            for _ in 0..TRIES {
                match providers.send_mail(&id.to_string(), &confirmation(id)).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, reservation = %id, "a confirmation was not sent"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    Ok(reservation)
}
