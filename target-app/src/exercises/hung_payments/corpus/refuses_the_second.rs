use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::*;
use crate::providers::guard::Guard;

static FRAUD_CHECK: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("fraud check", Duration::from_millis(1_000), 32));
static PAYMENTS: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("payment provider", Duration::from_millis(1_000), 32));

static IN_WORK: LazyLock<Mutex<HashSet<Uuid>>> = LazyLock::new(Mutex::default);

fn in_work() -> MutexGuard<'static, HashSet<Uuid>> {
    IN_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An order in work, until this is dropped.
struct InWork(Uuid);

impl Drop for InWork {
    fn drop(&mut self) {
        in_work().remove(&self.0);
    }
}

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
    if !in_work().insert(payment.order_id) {
        return Err(PaymentError::TooLong);
    }
    let _in_work = InWork(payment.order_id);
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
