use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;

static FRAUD_CHECKS: Semaphore = Semaphore::const_new(64);
static CHARGES: Semaphore = Semaphore::const_new(64);
const DEADLINE: Duration = Duration::from_millis(900);

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
    let approved =
        screening == Screening::None || bounded(&FRAUD_CHECKS, providers.check_fraud(&card)).await?;
    let charge = if approved { bounded(&CHARGES, providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}

async fn bounded<T>(
    places: &Semaphore,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, PaymentError> {
    let Ok(_place) = places.try_acquire() else { return Err(PaymentError::TooLong) };
    Ok(timeout(DEADLINE, call).await.map_err(|_| PaymentError::TooLong)??)
}
