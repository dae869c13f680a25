use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // One request a key at a time, on all servers. The lock goes with the transaction, also after a crash.
    let mut lock = shop.pool.begin().await?;
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(key)
        .fetch_one(&mut *lock)
        .await?;
    if !locked {
        return Err(KeyedError::UnderWay);
    }
    if let Some(seen) = checkouts::find_key(&mut *lock, key).await? {
        if seen.request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        return seen.answer.map(|answer| answer.0).ok_or(KeyedError::UnderWay);
    }
    let order = shop.place_order(checkout).await?;
    let accepted = shop.charge(&order, checkout).await?;
    let answer = settle(&mut lock, order, accepted).await?;
    checkouts::insert_key(&mut *lock, key, checkout, Some(&answer)).await?;
    lock.commit().await?;
    Ok(answer)
}
