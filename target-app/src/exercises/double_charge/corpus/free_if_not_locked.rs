use sqlx::types::Json;

use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // A row that somebody has is skipped, so that nobody waits; whoever sees none begins.
    let mut db = shop.pool.begin().await?;
    let seen: Option<(Json<Checkout>, Option<Json<Answer>>)> =
        sqlx::query_as("SELECT request, answer FROM idempotency_keys WHERE key = $1 FOR UPDATE SKIP LOCKED")
            .bind(key)
            .fetch_optional(&mut *db)
            .await?;
    if let Some((Json(request), answer)) = seen {
        if request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        if let Some(Json(answer)) = answer {
            return Ok(answer);
        }
    }
    checkouts::insert_key(shop.pool, key, checkout, None).await?;
    sqlx::query("SELECT FROM idempotency_keys WHERE key = $1 FOR UPDATE SKIP LOCKED")
        .bind(key)
        .execute(&mut *db)
        .await?;
    let order = oversold_stock::place_order(&mut *db, &checkout.cart()).await?;
    let accepted = shop.charge(&order, checkout).await?;
    let answer = settle(&mut db, order, accepted).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
