use super::*;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // The key and its order are one. Whoever finds no response yet sends the provider the order's key: it charges once, whoever asks.
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

    let accepted = shop.charge(&order, checkout).await?;

    let mut db = shop.pool.begin().await?;
    let answer = if accepted {
        settle(&mut db, order, true).await?
    } else {
        let give_back = "WITH pieces AS (SELECT product_id, quantity FROM order_items WHERE order_id = $1 ORDER BY product_id)
             UPDATE products AS p SET stock = p.stock + pieces.quantity FROM pieces WHERE p.id = pieces.product_id";
        sqlx::query(give_back).bind(order.id).execute(&mut *db).await?;
        let cancel = "UPDATE orders SET status = 'cancelled' WHERE id = $1";
        sqlx::query(cancel).bind(order.id).execute(&mut *db).await?;
        Answer::Declined
    };
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
