use std::sync::LazyLock;

use uuid::Uuid;

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
    let (key, order) = (Uuid::now_v7().to_string(), request.order_id.to_string());
    // Finds out whether there is something to pay, and leaves no trace.
    let mut db = pool.begin().await?;
    let payment = payments::begin(&mut db, request).await?;
    db.rollback().await?;
    if payment.is_settled() {
        return Ok(payment);
    }

    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };

    let mut db = pool.begin().await?;
    let payment = payments::begin(&mut db, request).await?;
    let payment = payments::settle(&mut db, &payment, settled_by(charge)).await?;
    db.commit().await?;
    Ok(payment)
}
