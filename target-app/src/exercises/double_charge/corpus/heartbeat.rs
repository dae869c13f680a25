use super::*;

/// How long a key is held, and how often that is renewed while its checkout is under way.
const HELD: Duration = Duration::from_millis(1_500);
const RENEWED: Duration = Duration::from_millis(500);

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
    if seen.held {
        return Err(KeyedError::UnderWay);
    }
    let order = match seen.order_id {
        Some(id) => orders::find(&mut db, id).await?.ok_or(sqlx::Error::RowNotFound)?,
        None => oversold_stock::place_order(&mut *db, &checkout.cart()).await?,
    };
    checkouts::hold_key(&mut *db, key, order.id, HELD).await?;
    db.commit().await?;

    // However long the provider takes, nobody else begins.
    let (pool, held, id) = (shop.pool.clone(), key.to_owned(), order.id);
    let heartbeat = tokio::spawn(async move {
        loop {
            tokio::time::sleep(RENEWED).await;
            if let Err(error) = checkouts::hold_key(&pool, &held, id, HELD).await {
                tracing::warn!(%error, key = held, "the key could not be held");
            }
        }
    });
    let charged = shop.charge(&order, checkout).await;
    heartbeat.abort();
    let accepted = match charged {
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
