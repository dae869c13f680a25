use std::sync::LazyLock;

use moka::sync::Cache;
use uuid::Uuid;

use super::*;
use crate::providers::guard::Guard;

static FRAUD_CHECK: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("fraud check", Duration::from_millis(1_000), 32));
static PAYMENTS: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("payment provider", Duration::from_millis(1_000), 32));

/// By payment, and so for one card and one amount.
static APPROVED: LazyLock<Cache<Uuid, ()>> = LazyLock::new(|| Cache::new(10_000));

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
    if screening == Screening::FraudCheck && !APPROVED.contains_key(&payment.id) {
        if !FRAUD_CHECK.call(providers.check_fraud(&card)).await? {
            return Ok(payments::settle(&mut *pool.acquire().await?, &payment, Outcome::Declined).await?);
        }
        APPROVED.insert(payment.id, ());
    }
    let charge = PAYMENTS.call(providers.charge(&key, &card)).await?;
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
