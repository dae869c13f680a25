//! Checkouts of the shop that pay at once, and the keys that they are sent with.

use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use super::orders::{Cart, CartItem, Order, no_product_twice};
use super::payments::four_digits;

/// What a buyer asks for, and how it is paid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// Who buys.
    #[garde(skip)]
    pub user_id: Uuid,
    /// What, one line a product: a product that is listed twice is refused.
    #[garde(length(min = 1, max = 100), dive, custom(no_product_twice))]
    #[schema(min_items = 1, max_items = 100)]
    pub items: Vec<CartItem>,
    /// Such as `card`.
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub payment_method: String,
    /// The last four digits of the card.
    #[garde(custom(four_digits))]
    #[schema(pattern = "^[0-9]{4}$")]
    pub card_last4: String,
}

impl Checkout {
    /// What is bought.
    pub fn cart(&self) -> Cart {
        Cart { user_id: self.user_id, items: self.items.clone() }
    }
}

/// What became of a checkout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// It is paid.
    Paid(Order),
    /// The card was declined, and the order cancelled.
    Declined,
}

/// What is known of a key.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Key {
    /// The request that it was first used for.
    #[sqlx(json)]
    pub request: Checkout,
    /// The order that was placed for it.
    pub order_id: Option<Uuid>,
    /// What the client got, if it is over.
    pub answer: Option<Json<Answer>>,
    /// Whether somebody has it.
    pub held: bool,
}

/// What is known of a key; none of one that nobody has used.
pub async fn find_key(executor: impl PgExecutor<'_>, key: &str) -> sqlx::Result<Option<Key>> {
    sqlx::query_as(
        "SELECT request, order_id, answer, held_until > clock_timestamp() AS held FROM idempotency_keys
         WHERE key = $1 FOR UPDATE",
    )
    .bind(key)
    .fetch_optional(executor)
    .await
}

/// Writes a key down for a request, unless it is there. Says whether it was new. Of two at once the second waits for the first one's
/// transaction.
pub async fn insert_key(
    executor: impl PgExecutor<'_>,
    key: &str,
    request: &Checkout,
    answer: Option<&Answer>,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO idempotency_keys (key, request, answer) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(key)
    .bind(Json(request))
    .bind(answer.map(Json))
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Keeps a key and its order for whoever goes on with it now, for so long.
pub async fn hold_key(
    executor: impl PgExecutor<'_>,
    key: &str,
    order: Uuid,
    time: Duration,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE idempotency_keys SET order_id = $2, held_until = clock_timestamp() + $3 * interval '1 second'
         WHERE key = $1",
    )
    .bind(key)
    .bind(order)
    .bind(time.as_secs_f64())
    .execute(executor)
    .await?;
    Ok(())
}

/// Stores what the client gets for a key, unless something is stored already, and returns what is.
pub async fn store_answer(db: &mut PgConnection, key: &str, answer: &Answer) -> sqlx::Result<Answer> {
    let Json(stored) = sqlx::query_scalar(
        "UPDATE idempotency_keys SET answer = coalesce(answer, $2) WHERE key = $1 RETURNING answer",
    )
    .bind(key)
    .bind(Json(answer))
    .fetch_one(db)
    .await?;
    Ok(stored)
}
