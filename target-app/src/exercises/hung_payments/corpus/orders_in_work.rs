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

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    if !in_work().insert(request.order_id) {
        return Err(PaymentError::TooLong);
    }
    let paid = pay(pool, providers, request, screening).await;
    // Whatever it came to, the next attempt may begin.
    in_work().remove(&request.order_id);
    paid
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
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
