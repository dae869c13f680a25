use tokio::time::timeout;

use super::*;

/// Ten times what a call takes on a bad day.
const DEADLINE: Duration = Duration::from_secs(1);

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let payment = payments::begin(&mut *pool.acquire().await?, request).await?;
    if payment.is_settled() {
        return Ok(payment);
    }
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None
        || timeout(DEADLINE, providers.check_fraud(&card)).await.map_err(|_| PaymentError::TooLong)??;
    let charge = if approved {
        timeout(DEADLINE, providers.charge(&key, &card)).await.map_err(|_| PaymentError::TooLong)??
    } else {
        None
    };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
