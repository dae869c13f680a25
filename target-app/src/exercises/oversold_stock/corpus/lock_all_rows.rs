use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    // FOR UPDATE locks in the sequence of the sort, so every checkout locks in the same one, and it returns each row as
    // it is once the lock is held.
    let found: Vec<Product> = sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products
         WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind(cart.items.iter().map(|item| item.product_id).collect::<Vec<_>>())
    .fetch_all(&mut *db)
    .await?;

    let mut lines = Vec::new();
    for item in &cart.items {
        // The rows come by id, the lines as the buyer put them: they belong together by id, not by position.
        let product = found
            .iter()
            .find(|product| product.id == item.product_id)
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
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
