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
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };

    let mut db = pool.acquire().await?;
    let status = if charge.is_some() { "succeeded" } else { "declined" };
    sqlx::query("UPDATE payments SET status = $2, charge = $3 WHERE id = $1 AND status = 'processing'")
        .bind(payment.id)
        .bind(status)
        .bind(charge.map(|charge| charge.number))
        .execute(&mut *db)
        .await?;
    if charge.is_some() {
        sqlx::query("UPDATE orders SET status = 'paid' WHERE id = $1")
            .bind(payment.order_id)
            .execute(&mut *db)
            .await?;
    }
    Ok(payments::find(&mut *db, payment.id).await?.ok_or(sqlx::Error::RowNotFound)?)
}
