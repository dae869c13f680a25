use super::*;
use crate::domain::products;

pub async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    // The provider knows the client's key, so it does not charge twice. The order is written when the money is there, together with the
    // response.
    if let Some(seen) = checkouts::find_key(shop.pool, key).await? {
        if seen.request != *checkout {
            return Err(KeyedError::OtherCheckout);
        }
        if let Some(answer) = seen.answer {
            return Ok(answer.0);
        }
    }
    checkouts::insert_key(shop.pool, key, checkout, None).await?;

    let mut total = Cents(0);
    for item in &checkout.items {
        let product = products::find(shop.pool, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            return Err(CheckoutError::ShortStock { product: item.product_id, wanted: item.quantity }.into());
        }
        total = [total, product.price.times(item.quantity)].into_iter().sum();
    }
    let card = Card {
        amount: total,
        payment_method: &checkout.payment_method,
        last4: &checkout.card_last4,
        reference: key,
    };
    let accepted = total == Cents(0) || {
        let charging = tokio::time::timeout(DEADLINE, shop.providers.charge(key, &card));
        charging.await.map_err(|_| KeyedError::NoAnswer)??.is_some()
    };

    let mut db = shop.pool.begin().await?;
    // Of two at once the second one finds the first one's answer.
    let seen = checkouts::find_key(&mut *db, key).await?.ok_or(sqlx::Error::RowNotFound)?;
    if let Some(answer) = seen.answer {
        return Ok(answer.0);
    }
    let answer = if accepted {
        let order = oversold_stock::place_order(&mut *db, &checkout.cart()).await?;
        settle(&mut db, order, true).await?
    } else {
        Answer::Declined
    };
    let answer = checkouts::store_answer(&mut db, key, &answer).await?;
    db.commit().await?;
    Ok(answer)
}
