use std::sync::LazyLock;

use sqlx::PgConnection;
use uuid::Uuid;

use super::*;
use crate::domain::money::Cents;
use crate::providers::guard::Guard;

static FRAUD_CHECK: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("fraud check", Duration::from_millis(1_000), 32));
static PAYMENTS: LazyLock<Guard> =
    LazyLock::new(|| Guard::new("payment provider", Duration::from_millis(1_000), 32));

const FIND: &str = "SELECT id, order_id, amount_cents, card_last4, status, created_at FROM payments
                    WHERE order_id = $1 AND status <> 'declined'";

const RECORD: &str = "INSERT INTO payments (id, order_id, amount_cents, card_last4, status)
                      SELECT $1, id, total_cents, $3, 'processing' FROM orders WHERE id = $2
                      RETURNING id, order_id, amount_cents, card_last4, status, created_at";

pub async fn process(
    pool: &PgPool,
    providers: &Providers,
    request: &PaymentRequest,
    screening: Screening,
) -> Result<Payment, PaymentError> {
    let payment = begin(&mut *pool.acquire().await?, request).await?;
    if payment.is_settled() {
        return Ok(payment);
    }
    let (key, order) = (payment.id.to_string(), payment.order_id.to_string());
    let card = card(request, &order);
    let approved = screening == Screening::None || FRAUD_CHECK.call(providers.check_fraud(&card)).await?;
    let charge = if approved { PAYMENTS.call(providers.charge(&key, &card)).await? } else { None };
    Ok(payments::settle(&mut *pool.acquire().await?, &payment, settled_by(charge)).await?)
}

async fn begin(db: &mut PgConnection, request: &PaymentRequest) -> Result<Payment, PaymentError> {
    let found: Option<Payment> = sqlx::query_as(FIND).bind(request.order_id).fetch_optional(&mut *db).await?;
    if let Some(payment) = found {
        if !payment.is_settled() && payment.card_last4 != request.card_last4 {
            return Err(BeginError::OtherCard.into());
        }
        return Ok(payment);
    }
    let order: Option<(String, Cents)> =
        sqlx::query_as("SELECT status, total_cents FROM orders WHERE id = $1")
            .bind(request.order_id)
            .fetch_optional(&mut *db)
            .await?;
    let (status, total) = order.ok_or(BeginError::UnknownOrder(request.order_id))?;
    if total != request.amount {
        return Err(BeginError::WrongAmount { total }.into());
    }
    if status != "pending" {
        return Err(BeginError::NotPending { status }.into());
    }
    let recorded = sqlx::query_as(RECORD)
        .bind(Uuid::now_v7())
        .bind(request.order_id)
        .bind(&request.card_last4)
        .fetch_one(db)
        .await?;
    Ok(recorded)
}
