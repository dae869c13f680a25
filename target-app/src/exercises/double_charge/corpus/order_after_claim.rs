use super::*;

const HELD: Duration = Duration::from_secs(2);

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // Who has the key works on it; after two seconds without an answer somebody else may.
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
    hold(&mut db, key, HELD).await?;
    db.commit().await?;

    match complete(shop, key, checkout, seen.order_id).await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            hold(&mut *shop.pool.acquire().await?, key, Duration::ZERO).await?;
            Err(error)
        }
    }
}

async fn complete(
    shop: &Shop<'_>,
    key: &str,
    checkout: &Checkout,
    known: Option<uuid::Uuid>,
) -> Result<Answer, KeyedError> {
    let order = match known {
        Some(id) => {
            orders::find(&mut *shop.pool.acquire().await?, id).await?.ok_or(sqlx::Error::RowNotFound)?
        }
        None => {
            let order = shop.place_order(checkout).await?;
            checkouts::hold_key(shop.pool, key, order.id, HELD).await?;
            order
        }
    };
    let accepted = shop.charge(&order, checkout).await?;
    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}

async fn hold(db: &mut PgConnection, key: &str, time: Duration) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE idempotency_keys SET held_until = clock_timestamp() + $2 * interval '1 second' WHERE key = $1",
    )
    .bind(key)
    .bind(time.as_secs_f64())
    .execute(db)
    .await?;
    Ok(())
}
