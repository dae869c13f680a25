use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    // A cart with a product that we do not sell is refused before anything is locked.
    for item in &cart.items {
        if products::find(&mut *db, item.product_id).await?.is_none() {
            return Err(CheckoutError::UnknownProduct(item.product_id));
        }
    }

    // With one lock for everything there is no sequence of locks to get wrong.
    sqlx::query("LOCK TABLE products").execute(&mut *db).await?;
    let mut lines = Vec::new();
    for item in &cart.items {
        let product = products::find(&mut *db, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            return Err(short_stock(item));
        }
        set_stock(&mut db, product.id, product.inventory - item.quantity).await?;
        lines.push(line(&product, item));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
