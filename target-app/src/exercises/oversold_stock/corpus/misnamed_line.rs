use std::collections::HashMap;

use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);
    let products: Vec<Uuid> = items.iter().map(|item| item.product_id).collect();

    let mut db = pool.begin().await?;
    // All rows at once, in the same sequence in every checkout, so no two can wait for each other.
    let known: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM products WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE")
            .bind(&products)
            .fetch_all(&mut *db)
            .await?;
    if let Some(unknown) = products.iter().find(|product| known.binary_search(product).is_err()) {
        return Err(CheckoutError::UnknownProduct(*unknown));
    }

    let taken: Vec<Product> = sqlx::query_as(
        "UPDATE products SET stock = products.stock - cart.quantity
         FROM UNNEST($1::uuid[], $2::integer[]) AS cart (id, quantity)
         WHERE products.id = cart.id AND products.stock >= cart.quantity
         RETURNING products.id, name, description, price_cents, products.stock, created_at",
    )
    .bind(&products)
    .bind(items.iter().map(|item| item.quantity).collect::<Vec<_>>())
    .fetch_all(&mut *db)
    .await?;
    // The line after those that could be taken is the one that there is too little of.
    if let Some(item) = items.get(taken.len()) {
        return Err(short_stock(item));
    }

    let taken: HashMap<Uuid, Product> = taken.into_iter().map(|product| (product.id, product)).collect();
    let lines = items.iter().map(|item| line(&taken[&item.product_id], item)).collect();
    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
