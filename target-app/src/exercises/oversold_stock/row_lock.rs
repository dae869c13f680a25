use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    let mut lines = Vec::new();
    let mut left = Vec::new();
    for item in &cart.items {
        let product = find_for_update(&mut db, item.product_id)
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
    db.commit().await?;
    Ok(order)
}

/// Locks the row, so that nobody else can change the stock between our read and our write.
async fn find_for_update(connection: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Product>> {
    sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products WHERE id = $1 FOR UPDATE",
    )
    .bind(id)
    .fetch_optional(connection)
    .await
}
