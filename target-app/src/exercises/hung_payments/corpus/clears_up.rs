use std::sync::LazyLock;

use super::*;
use crate::providers::guard::Guard;

static FRAUD_CHECK: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("fraud check", Duration::from_millis(1_000), 32));
static PAYMENTS: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("payment provider", Duration::from_millis(1_000), 32));

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
    match collect(providers, request, screening, &payment).await {
        Ok(charge) => Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?),
        Err(error) => {
            // Left behind, it would keep the buyer from paying with another card.
            sqlx::query("DELETE FROM payments WHERE id = $1 AND status = 'processing'")
                .bind(payment.id)
                .execute(pool)
                .await?;
            Err(error.into())
        }
    }
}

async fn collect(
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
    payment: &Payment,
) -> Result<Option<Charge>, CallError> {
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    if screening == Screening::FraudCheck && !FRAUD_CHECK.call(providers.check_fraud(&card)).await? {
        return Ok(None);
    }
    PAYMENTS.call(providers.charge(&key, &card)).await
}
