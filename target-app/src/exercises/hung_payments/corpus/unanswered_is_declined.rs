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
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved {
        // Nothing came back, so nothing was paid, and the buyer can try another card.
        match PAYMENTS.call(providers.charge(&key, &card)).await {
            Err(CallError::Unknown { .. }) => None,
            charged => charged?,
        }
    } else {
        None
    };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
