use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    // One sequence for everybody, else two carts lock each other out.
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
    for item in items {
        let product = products::find(&mut *db, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        // The comparison belongs into the statement: only there is it made on the row as it is now.
        let taken = sqlx::query("UPDATE products SET stock = stock - 1 WHERE id = $1 AND stock >= $2")
            .bind(item.product_id)
            .bind(item.quantity)
            .execute(&mut *db)
            .await?;
        if taken.rows_affected() == 0 {
            return Err(short_stock(item));
        }
        lines.push(line(&product, item));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
