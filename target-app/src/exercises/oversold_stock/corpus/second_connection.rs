use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
    for item in items {
        let taken = sqlx::query("UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2")
            .bind(item.product_id)
            .bind(item.quantity)
            .execute(&mut *db)
            .await?
            .rows_affected();
        // Name and price are only read, so they need not be part of the transaction.
        let product = products::find(pool, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if taken == 0 {
            return Err(short_stock(item));
        }
        lines.push(line(&product, item));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
