use super::*;
use crate::domain::products;

/// Every server takes the same number, so it holds for all of them.
const CHECKOUT: i64 = 7_001;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.acquire().await?;
    // A mutex in the database: unlike one in the process, every server sees it.
    sqlx::query("SELECT pg_advisory_lock($1)").bind(CHECKOUT).execute(&mut *db).await?;

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
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(CHECKOUT).execute(&mut *db).await?;
    Ok(order)
}
