use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;

/// Payments at a time, and how long each may take.
static PLACES: Semaphore = Semaphore::const_new(32);
const DEADLINE: Duration = Duration::from_millis(1_500);

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let Ok(_place) = PLACES.try_acquire() else { return Err(PaymentError::TooLong) };
    let paying = pay(pool, providers, request, screening);
    timeout(DEADLINE, paying).await.unwrap_or(Err(PaymentError::TooLong))
}

async fn pay(
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
    let approved = screening == Screening::None || providers.check_fraud(&card).await?;
    let charge = if approved { providers.charge(&key, &card).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
