use std::sync::LazyLock;

use sqlx::PgConnection;
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
    let payment = {
        let mut db = pool.begin().await?;
        let payment = payments::begin(&mut db, request).await?;
        if !payment.is_settled() {
            // Nobody else pays it from here on.
            mark(&mut db, payment.order_id, "paid").await?;
        }
        db.commit().await?;
        payment
    };
    if payment.is_settled() {
        return Ok(payment);
    }

    let charged = charge(providers, request, screening, &payment).await;
    let mut db = pool.acquire().await?;
    if !matches!(charged, Ok(Some(_))) {
        mark(&mut db, payment.order_id, "pending").await?;
    }
    Ok(payments::settle(&mut db, &payment, settled_by(charged?)).await?)
}

async fn mark(db: &mut PgConnection, order: Uuid, status: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE orders SET status = $2 WHERE id = $1").bind(order).bind(status).execute(db).await?;
    Ok(())
}

async fn charge(
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
