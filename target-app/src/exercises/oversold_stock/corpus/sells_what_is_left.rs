use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
    for item in &items {
        let product: Option<Product> = sqlx::query_as(
            "SELECT id, name, description, price_cents, stock, created_at FROM products WHERE id = $1 FOR UPDATE",
        )
        .bind(item.product_id)
        .fetch_optional(&mut *db)
        .await?;
        let product = product.ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        // The buyer gets what there is. A basket that is nearly full is worth more to him than a refusal.
        let quantity = item.quantity.min(product.inventory);
        if quantity > 0 {
            set_stock(&mut db, product.id, product.inventory - quantity).await?;
            lines.push(line(&product, &CartItem { product_id: product.id, quantity }));
        }
    }
    if lines.is_empty() {
        return Err(short_stock(items[0]));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
