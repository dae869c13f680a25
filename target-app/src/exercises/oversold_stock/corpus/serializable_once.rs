use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    // At this level the result is that of one checkout after the other, whatever PostgreSQL does inside.
    let mut db = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
    for item in items {
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
