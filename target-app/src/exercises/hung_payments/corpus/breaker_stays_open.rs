use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;

/// What is known of a service.
struct Health {
    places: Semaphore,
    failures: AtomicU32,
}

impl Health {
    const fn new() -> Self {
        Health { places: Semaphore::const_new(32), failures: AtomicU32::new(0) }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, PaymentError> {
        let Ok(_place) = self.places.try_acquire() else { return Err(PaymentError::TooLong) };
        if self.failures.load(Ordering::Relaxed) >= 10 {
            return Err(PaymentError::TooLong);
        }
        match timeout(Duration::from_secs(1), call).await {
            Ok(answered) if !matches!(answered, Err(CallError::Unknown { .. })) => {
                self.failures.store(0, Ordering::Relaxed);
                Ok(answered?)
            }
            _ => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(PaymentError::TooLong)
            }
        }
    }
}

static FRAUD_CHECK: Health = Health::new();
static PAYMENTS: Health = Health::new();

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
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
