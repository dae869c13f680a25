use sqlx::types::Json;

use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // Some apps send a new key with each click. Whoever buys the same with the same card within ten seconds means the same purchase.
    let mut db = shop.pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(checkout.user_id.to_string())
        .execute(&mut *db)
        .await?;
    let first: Option<String> = sqlx::query_scalar(
        "SELECT key FROM idempotency_keys WHERE request = $1 AND created_at > now() - interval '10 seconds'
         ORDER BY created_at LIMIT 1",
    )
    .bind(Json(checkout))
    .fetch_optional(&mut *db)
    .await?;
    let key = &*first.unwrap_or_else(|| key.to_owned());
    checkouts::insert_key(&mut *db, key, checkout, None).await?;
    let seen = checkouts::find_key(&mut *db, key).await?.ok_or(sqlx::Error::RowNotFound)?;
    if seen.request != *checkout {
        return Err(KeyedError::OtherCheckout);
    }
    if let Some(answer) = seen.answer {
        return Ok(answer.0);
    }
    if seen.held {
        return Err(KeyedError::UnderWay);
    }
    let order = match seen.order_id {
        Some(id) => orders::find(&mut db, id).await?.ok_or(sqlx::Error::RowNotFound)?,
        None => oversold_stock::place_order(&mut *db, &checkout.cart()).await?,
    };
    checkouts::hold_key(&mut *db, key, order.id, Duration::from_secs(2)).await?;
    db.commit().await?;

    let accepted = match shop.charge(&order, checkout).await {
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
