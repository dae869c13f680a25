use super::*;

/// Whoever has a key has it for longer than a charge may take. After a crash, others wait for as long.
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

    let accepted = match charge(shop, &order, checkout).await {
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

/// Each call of the provider has a key of its own, with which its client repeats it.
async fn charge(shop: &Shop<'_>, order: &Order, checkout: &Checkout) -> Result<bool, KeyedError> {
    if order.total == Cents(0) {
        return Ok(true);
    }
    let (attempt, reference) = (uuid::Uuid::now_v7().to_string(), order.id.to_string());
    let card = Card {
        amount: order.total,
        payment_method: &checkout.payment_method,
        last4: &checkout.card_last4,
        reference: &reference,
    };
    let charging = tokio::time::timeout(DEADLINE, shop.providers.charge(&attempt, &card));
    Ok(charging.await.map_err(|_| KeyedError::NoAnswer)??.is_some())
}
