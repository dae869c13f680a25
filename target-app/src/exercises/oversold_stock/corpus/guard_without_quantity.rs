use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
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

/// Takes the pieces unless the product is sold out.
async fn take_stock(connection: &mut PgConnection, item: &CartItem) -> sqlx::Result<Option<Product>> {
    sqlx::query_as(
        "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock > 0
         RETURNING id, name, description, price_cents, stock, created_at",
    )
    .bind(item.product_id)
    .bind(item.quantity)
    .fetch_optional(connection)
    .await
}
