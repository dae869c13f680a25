use super::*;
use crate::domain::products;

pub async fn place_order(turn: &Mutex<()>, pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    // The race is between two checkouts, so let them through one by one.
    let _turn = turn.lock().await;
    let mut db = pool.begin().await?;

    let mut lines = Vec::new();
    let mut left = Vec::new();
    for item in &cart.items {
        let product = products::find(&mut *db, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            return Err(short_stock(item));
        }
        lines.push(line(&product, item));
        left.push((product.id, product.inventory - item.quantity));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    for (product, stock) in left {
        set_stock(&mut db, product, stock).await?;
    }
    db.commit().await?;
    Ok(order)
}
