use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    // The order is written before the stock is touched, so that no row of a hot product is locked meanwhile. Nobody is
    // told of it before the pieces are taken.
    let mut lines = Vec::new();
    for item in &cart.items {
        let product = products::find(pool, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        lines.push(line(&product, item));
    }
    let order = orders::insert(pool, cart.user_id, lines).await?;

    let taken = take_all(pool, cart).await;
    if taken.is_err() {
        // Its lines go with it.
        sqlx::query("DELETE FROM orders WHERE id = $1").bind(order.id).execute(pool).await?;
    }
    taken.map(|()| order)
}

async fn take_all(pool: &PgPool, cart: &Cart) -> Result<(), CheckoutError> {
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);
    let mut db = pool.begin().await?;
    for item in items {
        let taken = sqlx::query("UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2")
            .bind(item.product_id)
            .bind(item.quantity)
            .execute(&mut *db)
            .await?;
        if taken.rows_affected() == 0 {
            return Err(short_stock(item));
        }
    }
    Ok(db.commit().await?)
}
