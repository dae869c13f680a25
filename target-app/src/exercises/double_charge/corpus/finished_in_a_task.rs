use super::*;

const HELD: Duration = Duration::from_secs(2);

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

    // What has begun comes to its end, whether the client waits or not.
    let (pool, providers) = (shop.pool.clone(), shop.providers.clone());
    let (key, checkout) = (key.to_owned(), checkout.clone());
    let task = tokio::spawn(async move {
        let shop = Shop { pool: &pool, providers: &providers };
        let charged = shop.charge(&order, &checkout).await;
        if charged.is_err() {
            checkouts::hold_key(&pool, &key, order.id, Duration::ZERO).await?;
        }
        let mut db = pool.begin().await?;
        let answer = settle(&mut db, order, charged?).await?;
        let answer = checkouts::store_answer(&mut db, &key, &answer).await?;
        db.commit().await?;
        Ok(answer)
    });
    task.await.unwrap_or(Err(KeyedError::NoAnswer))
}
