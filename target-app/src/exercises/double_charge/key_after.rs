use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    if let Some(seen) = checkouts::find_key(shop.pool, key).await? {
        if seen.request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        return seen.answer.map(|answer| answer.0).ok_or(KeyedError::UnderWay);
    }

    let order = shop.place_order(checkout).await?;
    let accepted = shop.charge(&order, checkout).await?;

    // The key, the response and the payment are recorded together or not at all. Of two at once, the first one's response is kept.
    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    checkouts::insert_key(&mut *db, key, checkout, Some(&answer)).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
