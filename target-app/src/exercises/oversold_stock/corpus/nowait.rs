use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    let mut lines = Vec::new();
    let mut left = Vec::new();
    for item in &cart.items {
        let product = match find_for_update(&mut db, item.product_id).await {
            // Somebody else is buying it at this moment. Waiting is what makes carts lock each other out, so we do not.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
                return Err(short_stock(item));
            }
            found => found?.ok_or(CheckoutError::UnknownProduct(item.product_id))?,
        };
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
    db.commit().await?;
    Ok(order)
}

async fn find_for_update(connection: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Product>> {
    sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products
         WHERE id = $1 FOR UPDATE NOWAIT",
    )
    .bind(id)
    .fetch_optional(connection)
    .await
}
