use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // A waiting click holds a connection, so it does not wait: NOWAIT.
    let mut db = shop.pool.begin().await?;
    checkouts::insert_key(shop.pool, key, checkout, None).await?;
    let locked = sqlx::query("SELECT FROM idempotency_keys WHERE key = $1 FOR UPDATE NOWAIT")
        .bind(key)
        .execute(&mut *db);
    if let Err(error) = locked.await {
        let code = error.as_database_error().and_then(|error| error.code());
        return Err(if code.as_deref() == Some("55P03") { KeyedError::UnderWay } else { error.into() });
    }
    let seen = checkouts::find_key(&mut *db, key).await?.ok_or(sqlx::Error::RowNotFound)?;
    if seen.request != *checkout {
        return Err(KeyedError::OtherCheckout);
    }
    if let Some(answer) = seen.answer {
        return Ok(answer.0);
    }
    let order = shop.place_order(checkout).await?;
    let accepted = shop.charge(&order, checkout).await?;
    let answer = settle(&mut db, order, accepted).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
