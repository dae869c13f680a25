use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.acquire().await?;
    // Short steps instead of one long transaction: no lock is held from one to the next, so a hot product moves on.
    let mut lines = Vec::new();
    let placed = place(&mut db, cart, &mut lines).await;
    if placed.is_err() {
        // Each step has a counter-step: what was taken before the failure goes back.
        for line in &lines {
            sqlx::query("UPDATE products SET stock = stock + $2 WHERE id = $1")
                .bind(line.product_id)
                .bind(line.quantity)
                .execute(&mut *db)
                .await?;
        }
    }
    placed
}

/// Leaves in `lines` what it has taken, whatever comes next.
async fn place(
    connection: &mut PgConnection,
    cart: &Cart,
    lines: &mut Vec<OrderItem>,
) -> Result<Order, CheckoutError> {
    for item in &cart.items {
        match take_stock(connection, item).await? {
            Some(product) => lines.push(line(&product, item)),
            None if products::find(&mut *connection, item.product_id).await?.is_none() => {
                return Err(CheckoutError::UnknownProduct(item.product_id));
            }
            None => return Err(short_stock(item)),
        }
    }
    Ok(orders::insert(connection, cart.user_id, lines.clone()).await?)
}

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
