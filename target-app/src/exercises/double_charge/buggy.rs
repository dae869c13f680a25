use super::*;

pub async fn check_out(shop: &Shop<'_>, _key: &str, checkout: &Checkout) -> Result<Answer, KeyedError> {
    let order = shop.place_order(checkout).await?;
    let accepted = shop.charge(&order, checkout).await?;

    let mut db = shop.pool.begin().await?;
    let answer = settle(&mut db, order, accepted).await?;
    db.commit().await?;
    Ok(answer)
}
