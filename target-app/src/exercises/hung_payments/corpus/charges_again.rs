use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;

static FRAUD_CHECKS: Semaphore = Semaphore::const_new(32);
static CHARGES: Semaphore = Semaphore::const_new(32);
const DEADLINE: Duration = Duration::from_millis(800);

/// How long one attempt to charge may take.
const ATTEMPT: Duration = Duration::from_millis(250);

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
    let charge = if approved { bounded(&CHARGES, charge(providers, &key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}

async fn charge(providers: &Providers, key: &str, card: &Card<'_>) -> Result<Option<Charge>, CallError> {
    loop {
        match timeout(ATTEMPT, providers.charge(key, card)).await {
            Err(_) => {}
            Ok(Err(CallError::Unknown { .. })) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(charged) => return charged,
        }
    }
}

async fn bounded<T>(
    places: &Semaphore,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, PaymentError> {
    let Ok(_place) = places.try_acquire() else { return Err(PaymentError::TooLong) };
    Ok(timeout(DEADLINE, call).await.map_err(|_| PaymentError::TooLong)??)
}
