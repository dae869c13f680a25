use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    let mut db = shop.pool.begin().await?;
    checkouts::insert_key(&mut *db, key, checkout, None).await?;
    let seen = checkouts::find_key(&mut *db, key).await?.ok_or(sqlx::Error::RowNotFound)?;
    if seen.request != *checkout {
        return Err(KeyedError::OtherCheckout);
    }
    if let Some(answer) = seen.answer {
        return Ok(answer.0);
    }
    // The response is on record before anything can go wrong. Nearly every card is accepted.
    let order = oversold_stock::place_order(&mut *db, &checkout.cart()).await?;
    checkouts::hold_key(&mut *db, key, order.id, Duration::ZERO).await?;
    let expected = Answer::Paid(Order { status: "paid".into(), ..order.clone() });
    checkouts::store_answer(&mut db, key, &expected).await?;
    db.commit().await?;

    let accepted = match shop.charge(&order, checkout).await {
        Ok(accepted) => accepted,
        Err(error) => {
            sqlx::query("UPDATE idempotency_keys SET answer = NULL WHERE key = $1")
                .bind(key)
                .execute(shop.pool)
                .await?;
            return Err(error);
        }
    };

    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    sqlx::query("UPDATE idempotency_keys SET answer = $2 WHERE key = $1")
        .bind(key)
        .bind(sqlx::types::Json(&answer))
        .execute(&mut *db)
        .await?;
    db.commit().await?;
    Ok(answer)
}
