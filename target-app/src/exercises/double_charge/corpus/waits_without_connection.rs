use super::*;

/// Whoever has a key has it for so long, and a second click looks so often whether it is over.
const HELD: Duration = Duration::from_millis(1_200);
const LOOKS: Duration = Duration::from_millis(20);

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    let order = loop {
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
            // No connection is kept while waiting.
            db.rollback().await?;
            tokio::time::sleep(LOOKS).await;
            continue;
        }
        let order = match seen.order_id {
            Some(id) => orders::find(&mut db, id).await?.ok_or(sqlx::Error::RowNotFound)?,
            None => oversold_stock::place_order(&mut *db, &checkout.cart()).await?,
        };
        checkouts::hold_key(&mut *db, key, order.id, HELD).await?;
        db.commit().await?;
        break order;
    };

    let charged = shop.charge(&order, checkout).await;
    if charged.is_err() {
        checkouts::hold_key(shop.pool, key, order.id, Duration::ZERO).await?;
    }
    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, charged?).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
