use super::*;
use crate::providers::guard::Guard;

/// Bounds the calls to each service: one that is in trouble must not take the other along.
#[derive(Debug)]
pub struct Guards {
    fraud_check: Guard,
    payments: Guard,
}

impl Default for Guards {
    fn default() -> Self {
        Guards {
            fraud_check: Guard::new("fraud check", Duration::from_millis(800), 32),
            payments: Guard::new("payment provider", Duration::from_millis(800), 32),
        }
    }
}

pub async fn process(
    guards: &Guards,
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    // Recorded before anybody is called, and its connection given back: whoever sends the payment again goes on with this one.
    let payment = payments::begin(&mut *pool.acquire().await?, request).await?;
    if payment.is_settled() {
        return Ok(payment);
    }

    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved =
        screening == Screening::None || guards.fraud_check.call(providers.check_fraud(&card)).await?;
    let charge = if approved { guards.payments.call(providers.charge(&key, &card)).await? } else { None };

    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}
