use super::*;

pub async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
    let reservation = fixed::reserve(desk, sale, buyer).await?;
    if reservation.status == "held" {
        // The buyer has his mail at once. A buyer has one reservation of a sale, so under this key he has one mail, however often he
        // clicks. The job is for a mailer that is down.
        let (pool, providers, id) = (desk.pool.clone(), desk.providers.clone(), reservation.id);
        tokio::spawn(async move {
            let key = format!("{sale}/{buyer}");
            if providers.send_mail(&key, &confirmation(id)).await.is_ok() {
                let done =
                    sqlx::query("DELETE FROM sale_jobs WHERE reservation_id = $1 AND kind = 'confirmation'")
                        .bind(id)
                        .execute(&pool)
                        .await;
                if let Err(error) = done {
                    tracing::warn!(%error, reservation = %id, "a job that is done could not be removed");
                }
            }
        });
    }
    Ok(reservation)
}
