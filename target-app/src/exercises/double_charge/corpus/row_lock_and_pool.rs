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
    let order = match seen.order_id {
        Some(id) => orders::find(&mut db, id).await?.ok_or(sqlx::Error::RowNotFound)?,
        None => oversold_stock::place_order(&mut *db, &checkout.cart()).await?,
    };
    checkouts::hold_key(&mut *db, key, order.id, Duration::ZERO).await?;
    db.commit().await?;

    // One at a time, as long as the row is locked; a crash unlocks it. Whoever comes second waits and finds the answer.
    let mut turn = shop.pool.begin().await?;
    let seen = checkouts::find_key(&mut *turn, key).await?.ok_or(sqlx::Error::RowNotFound)?;
    if let Some(answer) = seen.answer {
        return Ok(answer.0);
    }

    let accepted = shop.charge(&order, checkout).await?;

    // The payment is recorded whatever becomes of the lock.
    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    db.commit().await?;
    let answer = checkouts::store_answer(&mut turn, key, &answer).await?;
    turn.commit().await?;
    Ok(answer)
}
