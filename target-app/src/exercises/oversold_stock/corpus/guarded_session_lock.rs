use sqlx::Connection;

use super::*;
use crate::domain::products;

/// Every server takes the same number, so it holds for all of them.
const CHECKOUT: i64 = 7_002;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.acquire().await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(CHECKOUT).execute(&mut *db).await?;
    let placed = place(&mut db, cart).await;
    // Whatever came out of it: a connection that goes back to the pool with the lock would keep it for ever.
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(CHECKOUT).execute(&mut *db).await?;
    placed
}

/// All or nothing, by one checkout at a time.
async fn place(connection: &mut PgConnection, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = connection.begin().await?;
    let mut lines = Vec::new();
    for item in &cart.items {
        let product = products::find(&mut *db, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            // Now, not when the connection is used again: the next one in line must find the stock as it was.
            db.rollback().await?;
            return Err(short_stock(item));
        }
        set_stock(&mut db, product.id, product.inventory - item.quantity).await?;
        lines.push(line(&product, item));
    }
    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
