use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use uuid::Uuid;

use super::*;
use crate::providers::guard::Guard;

static FRAUD_CHECK: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("fraud check", Duration::from_millis(1_000), 32));
static PAYMENTS: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("payment provider", Duration::from_millis(1_000), 32));

/// The keys of orders that are being paid: whoever pays one again finds its key here.
static KEYS: LazyLock<Mutex<HashMap<Uuid, Uuid>>> = LazyLock::new(Mutex::default);

fn keys() -> std::sync::MutexGuard<'static, HashMap<Uuid, Uuid>> {
    KEYS.lock().unwrap_or_else(PoisonError::into_inner)
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
    let key = keys().entry(payment.id).or_insert_with(Uuid::new_v4).to_string();
    let order = payment.order_id.to_string();
    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    let payment = payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?;
    keys().remove(&payment.id);
    Ok(payment)
}
