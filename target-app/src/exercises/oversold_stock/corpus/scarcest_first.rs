use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    // All carts take the scarcest product first. That is one sequence for everybody, and a cart that cannot be filled
    // fails at its first statement, before it has locked anything that others want.
    let ids: Vec<Uuid> = cart.items.iter().map(|item| item.product_id).collect();
    let stocks: Vec<(Uuid, i32)> = sqlx::query_as("SELECT id, stock FROM products WHERE id = ANY($1)")
        .bind(&ids)
        .fetch_all(&mut *db)
        .await?;
    let stock_of = |id| stocks.iter().find(|(product, _)| *product == id).map_or(0, |(_, stock)| *stock);
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| stock_of(item.product_id));

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

/// Compares and takes in one statement.
async fn take_stock(connection: &mut PgConnection, item: &CartItem) -> sqlx::Result<Option<Product>> {
    sqlx::query_as(
        "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2
         RETURNING id, name, description, price_cents, stock, created_at",
    )
    .bind(item.product_id)
    .bind(item.quantity)
    .fetch_optional(connection)
    .await
}
