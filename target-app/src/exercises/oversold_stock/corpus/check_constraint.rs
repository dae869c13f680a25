use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    // All checkouts lock their rows in one sequence.
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
    for item in items {
        let product = take(&mut db, item).await?;
        lines.push(line(&product, item));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}

/// Takes the pieces. The table never goes below zero, so it is the table that knows when stock is short.
async fn take(connection: &mut PgConnection, item: &CartItem) -> Result<Product, CheckoutError> {
    let taken: sqlx::Result<Option<Product>> = sqlx::query_as(
        "UPDATE products SET stock = stock - $2 WHERE id = $1
         RETURNING id, name, description, price_cents, stock, created_at",
    )
    .bind(item.product_id)
    .bind(item.quantity)
    .fetch_optional(connection)
    .await;
    match taken {
        // This constraint and no other: an unknown buyer breaks one too.
        Err(sqlx::Error::Database(refused)) if refused.constraint() == Some("products_stock_check") => {
            Err(short_stock(item))
        }
        taken => taken?.ok_or(CheckoutError::UnknownProduct(item.product_id)),
    }
}
