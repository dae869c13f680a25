use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    // All rows of the cart at once, locked by id: one round trip, and no two checkouts can wait for each other.
    let ids: Vec<Uuid> = cart.items.iter().map(|item| item.product_id).collect();
    let found: Vec<Product> = sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products
         WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind(&ids)
    .fetch_all(&mut *db)
    .await?;
    if let Some(missing) = ids.iter().find(|id| found.iter().all(|product| product.id != **id)) {
        return Err(CheckoutError::UnknownProduct(*missing));
    }

    let mut lines = Vec::new();
    for (product, item) in found.iter().zip(&cart.items) {
        if product.inventory < item.quantity {
            return Err(short_stock(item));
        }
        set_stock(&mut db, product.id, product.inventory - item.quantity).await?;
        lines.push(line(product, item));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
