use super::*;
use crate::domain::products;

/// A deadlock is rare, and several in a row are rarer.
const TRIES: u32 = 5;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    for _ in 1..TRIES {
        match try_to_place(pool, cart).await {
            // PostgreSQL has ended one of the two that waited for each other. The other one goes on; this one begins anew.
            Err(CheckoutError::Database(sqlx::Error::Database(error)))
                if error.code().as_deref() == Some("40P01") => {}
            placed => return placed,
        }
    }
    try_to_place(pool, cart).await
}

async fn try_to_place(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut lines = Vec::new();
    for item in &cart.items {
        let product = products::find(&mut *db, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        let taken = sqlx::query("UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2")
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
