use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // The order is committed with its key, and whoever has the lock goes on with it. The lock is gone when its server is.
    let mut db = shop.pool.acquire().await?;
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
        .bind(key)
        .fetch_one(&mut *db)
        .await?;
    if !locked {
        return Err(KeyedError::UnderWay);
    }
    let answered = complete(&mut db, shop, key, checkout).await;
    sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))").bind(key).execute(&mut *db).await?;
    answered
}

async fn complete(
    db: &mut PgConnection,
    shop: &Shop<'_>,
    key: &str,
    checkout: &Checkout,
) -> Result<Answer, KeyedError> {
    use sqlx::Connection;

    let mut claim = db.begin().await?;
    checkouts::insert_key(&mut *claim, key, checkout, None).await?;
    let seen = checkouts::find_key(&mut *claim, key).await?.ok_or(sqlx::Error::RowNotFound)?;
    if seen.request != *checkout {
        return Err(KeyedError::OtherCheckout);
    }
    if let Some(answer) = seen.answer {
        return Ok(answer.0);
    }
    let order = match seen.order_id {
        Some(id) => orders::find(&mut claim, id).await?.ok_or(sqlx::Error::RowNotFound)?,
        None => oversold_stock::place_order(&mut *claim, &checkout.cart()).await?,
    };
    checkouts::hold_key(&mut *claim, key, order.id, Duration::ZERO).await?;
    claim.commit().await?;

    let accepted = shop.charge(&order, checkout).await?;

    let mut end = db.begin().await?;
    let answer = settle(&mut end, order, accepted).await?;
    let answer = checkouts::store_answer(&mut end, key, &answer).await?;
    end.commit().await?;
    Ok(answer)
}
