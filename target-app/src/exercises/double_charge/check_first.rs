use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // Before anything is done: has this key been here already?
    if let Some(seen) = checkouts::find_key(shop.pool, key).await? {
        if seen.request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        return seen.answer.map(|answer| answer.0).ok_or(KeyedError::UnderWay);
    }
    checkouts::insert_key(shop.pool, key, checkout, None).await?;

    let order = shop.place_order(checkout).await?;
    let accepted = shop.charge(&order, checkout).await?;

    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
