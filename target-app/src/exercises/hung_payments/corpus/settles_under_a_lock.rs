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
    let mut db = pool.begin().await?;
    let payment = payments::begin(&mut db, request).await?;
    db.commit().await?;
    if payment.is_settled() {
        return Ok(payment);
    }
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };

    let mut db = pool.begin().await?;
    sqlx::query("SELECT 1 FROM payments WHERE id = $1 FOR UPDATE").bind(payment.id).execute(&mut *db).await?;
    let payment = payments::find(&mut *db, payment.id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let payment = if payment.is_settled() {
        payment
    } else {
        payments::settle(&mut db, &payment, settled_by(charge)).await?
    };
    db.commit().await?;
    Ok(payment)
}
