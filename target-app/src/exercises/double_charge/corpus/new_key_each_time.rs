use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    if !checkouts::insert_key(shop.pool, key, checkout, None).await? {
        let seen = checkouts::find_key(shop.pool, key).await?.ok_or(sqlx::Error::RowNotFound)?;
        if seen.request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        return seen.answer.map(|answer| answer.0).ok_or(KeyedError::UnderWay);
    }
    let order = shop.place_order(checkout).await?;
    let accepted = match shop.charge(&order, checkout).await {
        Ok(accepted) => accepted,
        Err(error) => {
            sqlx::query("DELETE FROM idempotency_keys WHERE key = $1").bind(key).execute(shop.pool).await?;
            return Err(error);
        }
    };
    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
