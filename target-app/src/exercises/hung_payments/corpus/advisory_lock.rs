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
    let mut db = pool.acquire().await?;
    let lock = request.order_id.as_u64_pair().0.cast_signed();
    // One attempt at a time for each order, on all servers.
    let (is_mine,): (bool,) =
        sqlx::query_as("SELECT pg_try_advisory_lock($1)").bind(lock).fetch_one(&mut *db).await?;
    if !is_mine {
        return Err(PaymentError::TooLong);
    }
    let paid = pay(&mut db, providers, request, screening).await;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(lock).execute(&mut *db).await?;
    paid
}

async fn pay(
    db: &mut sqlx::PgConnection,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let payment = payments::begin(db, request).await?;
    if payment.is_settled() {
        return Ok(payment);
    }
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(db, &payment, settled_by(charge)).await?)
}
