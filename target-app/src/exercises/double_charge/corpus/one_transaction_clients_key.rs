use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // One transaction for all of it. If it is rolled back after the charge, the next request with this key sends the provider the same
    // key again, so nothing is charged twice.
    let mut db = shop.pool.begin().await?;
    checkouts::insert_key(&mut *db, key, checkout, None).await?;
    let seen = checkouts::find_key(&mut *db, key).await?.ok_or(sqlx::Error::RowNotFound)?;
    if seen.request != *checkout {
        return Err(KeyedError::OtherCheckout);
    }
    if let Some(answer) = seen.answer {
        return Ok(answer.0);
    }
    let order = oversold_stock::place_order(&mut *db, &checkout.cart()).await?;
    let card = Card {
        amount: order.total,
        payment_method: &checkout.payment_method,
        last4: &checkout.card_last4,
        reference: key,
    };
    let accepted = order.total == Cents(0) || {
        let charging = tokio::time::timeout(DEADLINE, shop.providers.charge(key, &card));
        charging.await.map_err(|_| KeyedError::NoAnswer)??.is_some()
    };
    let answer = settle(&mut db, order, accepted).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
