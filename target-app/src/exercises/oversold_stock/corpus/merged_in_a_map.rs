use std::collections::HashMap;

use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    // A product that is listed twice is one row to take from: add the quantities up, so that each row is taken once.
    let mut wanted: HashMap<Uuid, i32> = HashMap::new();
    for item in &cart.items {
        *wanted.entry(item.product_id).or_default() += item.quantity;
    }

    let mut db = pool.begin().await?;
    let mut lines = Vec::new();
    for (product_id, quantity) in wanted {
        let item = CartItem { product_id, quantity };
        match take_stock(&mut db, &item).await? {
            Some(product) => lines.push(line(&product, &item)),
            None if products::find(&mut *db, product_id).await?.is_none() => {
                return Err(CheckoutError::UnknownProduct(product_id));
            }
            None => return Err(short_stock(&item)),
        }
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}

/// Compares and takes in one statement.
async fn take_stock(connection: &mut PgConnection, item: &CartItem) -> sqlx::Result<Option<Product>> {
    sqlx::query_as(
        "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2
         RETURNING id, name, description, price_cents, stock, created_at",
    )
    .bind(item.product_id)
    .bind(item.quantity)
    .fetch_optional(connection)
    .await
}
