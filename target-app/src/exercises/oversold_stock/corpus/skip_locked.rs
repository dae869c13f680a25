use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    let mut lines = Vec::new();
    let mut left = Vec::new();
    for item in &cart.items {
        let Some(product) = free_for_update(&mut db, item).await? else {
            return Err(match products::find(&mut *db, item.product_id).await? {
                Some(_) => short_stock(item),
                None => CheckoutError::UnknownProduct(item.product_id),
            });
        };
        lines.push(line(&product, item));
        left.push((product.id, product.inventory - item.quantity));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    for (product, stock) in left {
        set_stock(&mut db, product, stock).await?;
    }
    db.commit().await?;
    Ok(order)
}

/// The product, if there are enough pieces that nobody else has his hands on. As with jobs in a queue, what is locked is
/// about to be gone.
async fn free_for_update(connection: &mut PgConnection, item: &CartItem) -> sqlx::Result<Option<Product>> {
    sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products
         WHERE id = $1 AND stock >= $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(item.product_id)
    .bind(item.quantity)
    .fetch_optional(connection)
    .await
}
