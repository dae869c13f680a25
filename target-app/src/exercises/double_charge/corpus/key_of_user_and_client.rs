use sqlx::types::Json;
use uuid::Uuid;

use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // The order and the key are written together, and the claim is one statement: whoever changes the row has it.
    let mut db = shop.pool.begin().await?;
    if checkouts::insert_key(&mut *db, key, checkout, None).await? {
        let order = oversold_stock::place_order(&mut *db, &checkout.cart()).await?;
        checkouts::hold_key(&mut *db, key, order.id, Duration::ZERO).await?;
    }
    db.commit().await?;

    let claimed: Option<Uuid> = sqlx::query_scalar(
        "UPDATE idempotency_keys SET held_until = clock_timestamp() + interval '3 seconds'
         WHERE key = $1 AND request = $2 AND answer IS NULL AND held_until <= clock_timestamp() RETURNING order_id",
    )
    .bind(key)
    .bind(Json(checkout))
    .fetch_optional(shop.pool)
    .await?;
    let Some(order) = claimed else {
        let seen = checkouts::find_key(shop.pool, key).await?.ok_or(sqlx::Error::RowNotFound)?;
        if seen.request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        return seen.answer.map(|answer| answer.0).ok_or(KeyedError::UnderWay);
    };
    let order =
        orders::find(&mut *shop.pool.acquire().await?, order).await?.ok_or(sqlx::Error::RowNotFound)?;

    let accepted = match charge(shop, key, &order, checkout).await {
        Ok(accepted) => accepted,
        Err(error) => {
            checkouts::hold_key(shop.pool, key, order.id, Duration::ZERO).await?;
            return Err(error);
        }
    };
    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}

/// The provider's key is made of the client's key and the user, so that it is the same in every attempt.
async fn charge(shop: &Shop<'_>, key: &str, order: &Order, checkout: &Checkout) -> Result<bool, KeyedError> {
    if order.total == Cents(0) {
        return Ok(true);
    }
    let attempt: String =
        sqlx::query_scalar("SELECT encode(sha256(convert_to($1 || ' ' || $2, 'UTF8')), 'hex')")
            .bind(checkout.user_id.to_string())
            .bind(key)
            .fetch_one(shop.pool)
            .await?;
    let reference = order.id.to_string();
    let card = Card {
        amount: order.total,
        payment_method: &checkout.payment_method,
        last4: &checkout.card_last4,
        reference: &reference,
    };
    let charging = tokio::time::timeout(DEADLINE, shop.providers.charge(&attempt, &card));
    Ok(charging.await.map_err(|_| KeyedError::NoAnswer)??.is_some())
}
