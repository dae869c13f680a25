use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    place(pool, cart).await.map_err(|error| match error {
        // The table refuses to go below zero. That is not our failure; it says that the stock was short.
        CheckoutError::Database(sqlx::Error::Database(refused)) if refused.constraint().is_some() => {
            short_stock(&cart.items[0])
        }
        error => error,
    })
}

async fn place(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
    for item in items {
        let product: Option<Product> = sqlx::query_as(
            "UPDATE products SET stock = stock - $2 WHERE id = $1
             RETURNING id, name, description, price_cents, stock, created_at",
        )
        .bind(item.product_id)
        .bind(item.quantity)
        .fetch_optional(&mut *db)
        .await?;
        let product = product.ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        lines.push(line(&product, item));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
