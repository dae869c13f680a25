use std::time::Duration;

use tokio::sync::Semaphore;

use super::*;

/// Mails that this server sends beside the worker. Beyond these, the worker has to do.
static PLACES: Semaphore = Semaphore::const_new(16);

/// A mail that takes longer is left to the worker, whose turn comes after three seconds.
const DEADLINE: Duration = Duration::from_secs(2);

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let reservation = fixed::reserve(desk, sale, buyer).await?;
    if reservation.status == "held"
        && let Ok(place) = PLACES.try_acquire()
    {
        let (pool, providers, id) = (desk.pool.clone(), desk.providers.clone(), reservation.id);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = send(&pool, &providers, id).await {
                tracing::warn!(%error, reservation = %id, "a confirmation is left to the worker");
            }
        });
    }
    Ok(reservation)
}

/// Does the job as the worker would: takes it for three seconds, sends the mail under the same key, and removes it. Somebody else may have
/// it already, or have done it.
async fn send(pool: &PgPool, providers: &Providers, id: Uuid) -> sqlx::Result<()> {
    let taken = sqlx::query(
        "UPDATE sale_jobs SET attempts = attempts + 1, due_at = clock_timestamp() + interval '3 seconds'
         WHERE reservation_id = $1 AND kind = 'confirmation' AND due_at <= clock_timestamp()",
    )
    .bind(id)
    .execute(pool)
    .await?;
    if taken.rows_affected() == 0 {
        return Ok(());
    }
    let sent = tokio::time::timeout(DEADLINE, providers.send_mail(&id.to_string(), &confirmation(id))).await;
    if matches!(sent, Ok(Ok(()))) {
        sqlx::query("DELETE FROM sale_jobs WHERE reservation_id = $1 AND kind = 'confirmation'")
            .bind(id)
            .execute(pool)
            .await?;
    }
    Ok(())
}
