use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use futures::future::join_all;

use super::*;

/// Confirmations that are still to be sent.
static OUTBOX: Mutex<Vec<Uuid>> = Mutex::new(Vec::new());

/// The task that sends them.
static SENDER: Once = Once::new();

/// So often.
const EVERY: Duration = Duration::from_secs(1);

/// The mailer gets as many at a time.
const AT_A_TIME: usize = 32;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    SENDER.call_once(|| {
        tokio::spawn(send(desk.providers.clone()));
    });
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
        Err(error) if sales::is_second_click(&error) => {
            return Ok(sales::active(&mut *db, sale, buyer).await?.ok_or(sqlx::Error::RowNotFound)?);
        }
        Err(error) => return Err(error.into()),
    };
    let reservation = sales::find_reservation(&mut *db, id, buyer).await?.ok_or(sqlx::Error::RowNotFound)?;
    if reservation.status == "held" {
        outbox(|mails| mails.push(id));
    }
    Ok(reservation)
}

/// Sends what has come together. What could not be sent goes along with the next ones.
async fn send(providers: Providers) {
    loop {
        tokio::time::sleep(EVERY).await;
        let mails = outbox(std::mem::take);
        for some in mails.chunks(AT_A_TIME) {
            let sent = join_all(some.iter().map(|id| send_one(&providers, *id))).await;
            let failed = some.iter().zip(sent).filter(|(_, sent)| !sent).map(|(id, _)| *id);
            outbox(|mails| mails.extend(failed));
        }
    }
}

/// Says whether it was sent.
async fn send_one(providers: &Providers, id: Uuid) -> bool {
    providers.send_mail(&id.to_string(), &confirmation(id)).await.is_ok()
}

fn outbox<T>(change: impl FnOnce(&mut Vec<Uuid>) -> T) -> T {
    change(&mut OUTBOX.lock().unwrap_or_else(PoisonError::into_inner))
}
