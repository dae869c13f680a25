use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;

static SCREENED: Semaphore = Semaphore::const_new(40);
static SIMPLE: Semaphore = Semaphore::const_new(40);
const DEADLINE: Duration = Duration::from_millis(1_200);

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let places = if screening == Screening::None { &SIMPLE } else { &SCREENED };
    let Ok(_place) = places.try_acquire() else { return Err(PaymentError::TooLong) };
    // Wherever it is cut off, the payment is recorded, and goes on when it is sent again.
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
