//! Payments for orders of the shop.
//!
//! A payment is recorded as `processing` before money is taken, and settled afterwards. An order has one payment that is not declined, so
//! whoever pays an order again goes on with the payment that is there.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Cents;

/// What somebody wants to pay.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequest {
    /// The order, which is pending.
    #[garde(skip)]
    pub order_id: Uuid,
    /// The order's total. What costs nothing is not paid.
    #[garde(custom(more_than_nothing))]
    #[schema(value_type = f64, exclusive_minimum = 0)]
    pub amount: Cents,
    /// Such as `card`.
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub payment_method: String,
    /// The last four digits of the card.
    #[garde(custom(four_digits))]
    #[schema(pattern = "^[0-9]{4}$")]
    pub card_last4: String,
}

fn more_than_nothing(amount: &Cents, _: &()) -> garde::Result {
    if *amount > Cents(0) {
        return Ok(());
    }
    Err(garde::Error::new("it is not more than 0"))
}

/// Refuses what is no end of a card's number.
pub fn four_digits(last4: &str, _: &()) -> garde::Result {
    if last4.len() == 4 && last4.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(garde::Error::new("it is not four digits"))
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Stable id.
    pub id: Uuid,
    /// What is paid.
    pub order_id: Uuid,
    /// The order's total.
    #[sqlx(rename = "amount_cents")]
    pub amount: Cents,
    /// The last four digits of the card.
    pub card_last4: String,
    /// processing, succeeded or declined.
    pub status: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
}

impl Payment {
    /// Whether it is known what became of it.
    pub fn is_settled(&self) -> bool {
        self.status != "processing"
    }
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Money was taken, under this number of the provider.
    Succeeded(i64),
    /// The card was not accepted, and nothing was taken.
    Declined,
}

/// Why a payment was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// There is nothing to pay.
    #[error("there is no order {0}")]
    UnknownOrder(Uuid),
    /// It costs another amount.
    #[error("the order's total is {total}")]
    WrongAmount {
        /// What it costs.
        total: Cents,
    },
    /// It is not waiting for a payment.
    #[error("the order is {status}, and only a pending one can be paid")]
    NotPending {
        /// What it is.
        status: String,
    },
    /// A payment with another card is under way.
    #[error("the order is being paid with another card")]
    OtherCard,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Records a payment that begins; where the order has one already, returns that one.
pub async fn begin(db: &mut PgConnection, request: &PaymentRequest) -> Result<Payment, BeginError> {
    let order: Option<(String, Cents)> =
        sqlx::query_as("SELECT status, total_cents FROM orders WHERE id = $1")
            .bind(request.order_id)
            .fetch_optional(&mut *db)
            .await?;
    let (status, total) = order.ok_or(BeginError::UnknownOrder(request.order_id))?;
    if total != request.amount {
        return Err(BeginError::WrongAmount { total });
    }
    if status == "pending" {
        // An order that is paid at the same moment keeps the payment that was first.
        sqlx::query(
            "INSERT INTO payments (id, order_id, amount_cents, card_last4, status)
             VALUES ($1, $2, $3, $4, 'processing') ON CONFLICT (order_id) WHERE status <> 'declined' DO NOTHING",
        )
        .bind(Uuid::now_v7())
        .bind(request.order_id)
        .bind(request.amount)
        .bind(&request.card_last4)
        .execute(&mut *db)
        .await?;
    }
    let payment: Option<Payment> = sqlx::query_as(
        "SELECT id, order_id, amount_cents, card_last4, status, created_at FROM payments
         WHERE order_id = $1 AND status <> 'declined'",
    )
    .bind(request.order_id)
    .fetch_optional(db)
    .await?;
    match payment {
        Some(payment) if !payment.is_settled() && payment.card_last4 != request.card_last4 => {
            Err(BeginError::OtherCard)
        }
        Some(payment) => Ok(payment),
        None => Err(BeginError::NotPending { status }),
    }
}

/// Records what became of a payment, and that its order is paid if it is. Once more changes nothing.
pub async fn settle(db: &mut PgConnection, payment: &Payment, outcome: Outcome) -> sqlx::Result<Payment> {
    let (status, charge) = match outcome {
        Outcome::Succeeded(charge) => ("succeeded", Some(charge)),
        Outcome::Declined => ("declined", None),
    };
    // Both in one statement, so that nobody sees one without the other.
    sqlx::query(
        "WITH settled AS (
             UPDATE payments SET status = $2, charge = $3 WHERE id = $1 AND status = 'processing' RETURNING order_id, status
         )
         UPDATE orders SET status = 'paid' FROM settled WHERE id = order_id AND settled.status = 'succeeded'",
    )
    .bind(payment.id)
    .bind(status)
    .bind(charge)
    .execute(&mut *db)
    .await?;
    find(db, payment.id).await?.ok_or(sqlx::Error::RowNotFound)
}

/// The payment with this id.
pub async fn find(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(
        "SELECT id, order_id, amount_cents, card_last4, status, created_at FROM payments WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(executor)
    .await
}
