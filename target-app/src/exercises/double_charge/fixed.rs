use super::*;

/// How long a request holds its key: longer than a charge may take. After a crash, others are refused for as long.
const HELD: Duration = Duration::from_millis(1200);

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // The key and its order are committed together, before the card is charged: whatever happens then, the next request with this
    // key goes on with this order, and the provider charges an order once.
    let mut db = shop.pool.begin().await?;
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
    checkouts::hold_key(&mut *db, key, order.id, HELD).await?;
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
