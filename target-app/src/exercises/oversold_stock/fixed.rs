use super::*;
use crate::domain::products;

pub async fn place_order(pool: impl PoolOrTransaction<'_>, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    let mut lines = Vec::new();
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    // Every checkout locks its rows in the same sequence, so no two can wait for each other.
    items.sort_by_key(|item| item.product_id);
    for item in items {
        match take_stock(&mut db, item).await? {
            Some(product) => lines.push(line(&product, item)),
            None if products::find(&mut *db, item.product_id).await?.is_none() => {
                return Err(CheckoutError::UnknownProduct(item.product_id));
            }
            None => return Err(short_stock(item)),
        }
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}

/// Compares and takes in one statement: a concurrent one waits for this row and then compares anew.
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
