use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::timeout;

use super::*;

static FRAUD_CHECKS: AtomicUsize = AtomicUsize::new(0);
static CHARGES: AtomicUsize = AtomicUsize::new(0);

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
    calls: &AtomicUsize,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, PaymentError> {
    if calls.fetch_add(1, Ordering::Relaxed) >= 32 {
        calls.fetch_sub(1, Ordering::Relaxed);
        return Err(PaymentError::TooLong);
    }
    let answered = timeout(Duration::from_secs(1), call).await;
    calls.fetch_sub(1, Ordering::Relaxed);
    Ok(answered.map_err(|_| PaymentError::TooLong)??)
}
